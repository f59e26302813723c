//! The pages the platform answers with in an app's place (platform reference 4.9), whole: no third party is asked.

/// Which page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Page {
    /// The app failed, or could not be reached.
    ApplicationError,
    /// Maintenance mode.
    Maintenance,
    /// The app was never deployed.
    Welcome,
    /// No app has this host name.
    NoSuchApp,
}

impl Page {
    /// The page as HTML.
    #[must_use]
    pub fn html(self) -> String {
        let (title, heading, text) = match self {
            Self::ApplicationError => (
                "Application Error",
                "Application error",
                "An error occurred in the application and your page could not be served. If you are the application \
                 owner, check your logs for details. You can do this from the command line with \
                 <code>dyno logs --tail</code>",
            ),
            Self::Maintenance => (
                "Offline for Maintenance",
                "Offline for Maintenance",
                "This application is undergoing maintenance right now. Please check back later.",
            ),
            Self::Welcome => (
                "Welcome to your new app!",
                "Welcome to your new app!",
                "Nothing has been deployed to it yet. Push your code with <code>git push</code>.",
            ),
            Self::NoSuchApp => (
                "No such app",
                "There's nothing here, yet.",
                "No app on this node has the host name you asked for.",
            ),
        };
        shell(
            title,
            "main { max-width: 36em; margin: 15vh auto; padding: 0 1em; font-family: sans-serif; }",
            &format!("<main><h1>{heading}</h1><p>{text}</p></main>"),
        )
    }
}

/// The page of a user's own choosing, in a frame that fills the window.
#[must_use]
pub fn framed(title: Page, url: &str) -> String {
    let title = match title {
        Page::ApplicationError => "Application Error",
        Page::Maintenance => "Offline for Maintenance",
        Page::Welcome => "Welcome to your new app!",
        Page::NoSuchApp => "No such app",
    };
    let style = "html,body,iframe { margin: 0; padding: 0; }\n\
                 \t\t  html,body { height: 100%; overflow: hidden; }\n\
                 \t\t  iframe { width: 100%; height: 100%; border: 0; }";
    shell(title, style, &format!("<iframe src=\"{}\"></iframe>", attribute(url)))
}

fn shell(title: &str, style: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n\t<html>\n\t  <head>\n\
         \t\t<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         \t\t<meta charset=\"utf-8\">\n\
         \t\t<title>{title}</title>\n\
         \t\t<style media=\"screen\">\n\t\t  {style}\n\t\t</style>\n\
         \t  </head>\n\t  <body>\n\t\t{body}\n\t  </body>\n\t</html>\n"
    )
}

/// Text made safe inside a double-quoted attribute (HTML standard 13.3).
fn attribute(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The whole answer to plain HTTP where TLS is spoken; `date` is in the form of RFC 9110 section 5.6.7.
#[must_use]
pub fn plain_at_tls(date: &str) -> String {
    const TEXT: &str = "This port takes HTTPS alone: begin the address with https://\n";
    let (server, length) = (crate::wire::headers::SERVER, TEXT.len());
    format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
         Server: {server}\r\nConnection: close\r\nDate: {date}\r\n\r\n{TEXT}"
    )
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn every_page_says_its_title() {
        for (page, title) in [
            (Page::ApplicationError, "Application Error"),
            (Page::Maintenance, "Offline for Maintenance"),
            (Page::Welcome, "Welcome to your new app!"),
            (Page::NoSuchApp, "No such app"),
        ] {
            assert!(page.html().contains(&format!("<title>{title}</title>")));
            assert!(framed(page, "x").contains(&format!("<title>{title}</title>")));
        }
    }

    #[test]
    fn a_users_page_cannot_break_out_of_its_frame() {
        let page = framed(Page::ApplicationError, "https://a/?b=1&c=\"><script>");
        assert!(
            page.contains("<iframe src=\"https://a/?b=1&amp;c=&quot;&gt;&lt;script&gt;\"></iframe>"),
            "{page}"
        );
    }
}
