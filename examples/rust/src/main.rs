//! A web server with tiny_http.

use std::env;
use std::error::Error;

use tiny_http::{Response, Server};

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let port: u16 = env::var("PORT")?.parse()?;
    let dyno = env::var("DYNO").unwrap_or_default();
    let server = Server::http(("0.0.0.0", port))?;
    for request in server.incoming_requests() {
        let text = format!("Hello from Rust on {dyno}! You asked for {}.\n", request.url());
        request.respond(Response::from_string(text))?;
    }
    Ok(())
}
