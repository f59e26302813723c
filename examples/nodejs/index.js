'use strict';

const http = require('http');
const express = require('express');
const { WebSocketServer } = require('ws');

const app = express();

app.get('/', (request, response) => {
  const greeting = process.env.GREETING || 'Hello';
  response.type('text').send(`${greeting} from Node.js, on dyno ${process.env.DYNO || 'local'}\n`);
});

const server = http.createServer(app);

// A WebSocket on /echo gets back every message it sends.
new WebSocketServer({ server, path: '/echo' }).on('connection', (socket) => {
  socket.on('error', (error) => console.error(`websocket: ${error.message}`));
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});

server.listen(process.env.PORT || 3000, () => console.log(`listening on port ${server.address().port}`));

process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeAllConnections();
});
