require_relative "boot"

require "rails"
require "action_controller/railtie"

Bundler.require(*Rails.groups)

# An app without a database: controllers and views are all it has.
class Hello < Rails::Application
  config.load_defaults 7.2
  config.eager_load = true
  config.hosts.clear
  config.logger = ActiveSupport::Logger.new($stdout)
end
