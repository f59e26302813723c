// Says what it was built with and what it runs on.
const fs = require('fs');
const http = require('http');
const ms = require('ms');

// The stack has some packages of its own, so a look into the app's is what tells.
const pruned = !fs.existsSync('node_modules/picocolors');

http
  .createServer((_request, answer) => {
    const built = fs.existsSync('built');
    answer.end(`node=${process.versions.node} minute=${ms('1m')} built=${built} pruned=${pruned}\n`);
  })
  .listen(process.env.PORT);
