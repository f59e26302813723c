# A Rack app with Sinatra.
require "sinatra/base"

class Hello < Sinatra::Base
  set :host_authorization, permitted_hosts: []

  get("/") { "Hello from Ruby #{RUBY_VERSION} on #{ENV["DYNO"]}!\n" }
  get("/hello/:name") { "Hello, #{params["name"]}!\n" }
end

run Hello
