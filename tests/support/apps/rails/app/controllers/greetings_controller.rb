class GreetingsController < ActionController::Base
  def show
    secret = Rails.application.secret_key_base.length
    render plain: "Hello from Rails #{Rails.version} (#{Rails.env}, secret of #{secret})!\n"
  end
end
