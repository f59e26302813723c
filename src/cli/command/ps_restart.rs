//! `dyno ps:restart`

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, shown_app};

/// Restart all dynos of an app, those of one type, or one
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    scope: Scope,
}

/// Which dynos are meant.
#[derive(Debug, Default, clap::Args)]
#[group(multiple = false)]
pub(in crate::cli) struct Scope {
    /// A dyno (web.1) or a process type (web)
    #[arg(value_name = "DYNO")]
    pub(in crate::cli) name: Option<String>,
    /// A dyno
    #[arg(short, long, value_name = "DYNO")]
    pub(in crate::cli) dyno_name: Option<String>,
    /// A process type
    #[arg(short, long, value_name = "TYPE", visible_alias = "ps-type")]
    pub(in crate::cli) process_type: Option<String>,
}

impl Scope {
    /// The dyno or type, if any was named. It becomes a part of a path, so it must be a plain word.
    pub(in crate::cli) fn named(&self) -> Result<Option<&str>, Failure> {
        let named = self.name.as_ref().or(self.dyno_name.as_ref()).or(self.process_type.as_ref());
        let plain = |name: &&String| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        match named {
            Some(name) if !plain(&name) => {
                Err(Failure::Usage(format!("{name:?} is no dyno and no process type.")))
            }
            named => Ok(named.map(String::as_str)),
        }
    }

    /// `dyno web.1`, `all web dynos`, `all dynos`.
    pub(in crate::cli) fn described(&self) -> Result<String, Failure> {
        Ok(match self.named()? {
            None => "all dynos".to_owned(),
            Some(name) if name.contains('.') => format!("dyno {name}"),
            Some(name) => format!("all {name} dynos"),
        })
    }
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let path = match self.scope.named()? {
            Some(name) => format!("/apps/{app}/dynos/{name}"),
            None => format!("/apps/{app}/dynos"),
        };
        let text = format!("Restarting {} on {}", self.scope.described()?, shown_app(&app));
        let restarted = context.client.call::<serde_json::Value>(Method::DELETE, &path);
        output::action(&text, restarted, |_| None).await.map(drop)
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_scope_is_told_in_the_published_words() {
        let scope = |name: &str| Scope { name: Some(name.to_owned()), ..Scope::default() };
        assert_eq!(scope("web.1").described().unwrap(), "dyno web.1");
        assert_eq!(scope("web").described().unwrap(), "all web dynos");
        assert_eq!(Scope::default().described().unwrap(), "all dynos");
        assert!(scope("../config-vars").named().is_err());
    }
}
