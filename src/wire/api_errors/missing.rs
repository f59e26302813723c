//! What a request can name that is not there.

use std::fmt;

/// Things that can fail to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// An app.
    App,
    /// An add-on.
    AddOn,
    /// The setting up of an app.
    AppSetup,
    /// A data service, as it was named.
    AddOnService(String),
    /// An add-on as an app has it.
    Attachment,
    /// A token.
    Authorization,
    /// Someone with whom an app is shared.
    Collaborator,
    /// A build.
    Build,
    /// The output of a build.
    BuildOutput,
    /// An app's place in a pipeline, of an app that is in none.
    Coupling,
    /// Someone who may use a database.
    Credential,
    /// A delivery to a webhook.
    Delivery,
    /// A domain.
    Domain,
    /// A drain.
    Drain,
    /// A dyno, as it was named.
    Dyno(Unknown),
    /// A size of dynos, as it was named.
    DynoSize(Unknown),
    /// A feature, as it was named.
    Feature(Unknown),
    /// A public key.
    Key,
    /// A timed job, by its number.
    Job(String),
    /// A log session, or one that has expired.
    LogSession,
    /// A pipeline, or one that the caller may not see.
    Pipeline,
    /// A place in a pipeline, by its identity.
    PlaceInPipeline,
    /// A process type, as it was named.
    ProcessType(Unknown),
    /// A promotion.
    Promotion,
    /// A region, as it was named.
    Region(String),
    /// A release.
    Release,
    /// The output of a release's command.
    ReleaseOutput,
    /// The branch that an app is deployed from.
    Repository,
    /// The session of a log-in, which tokens do without.
    Session,
    /// A source that clients send, or one that has expired.
    Source,
    /// A slug that no release of the app has.
    Slug,
    /// When backups of an add-on are taken.
    Schedule,
    /// Data of an add-on that was destroyed.
    RemovedData,
    /// A stack, as it was named.
    Stack(Unknown),
    /// A certificate of an app.
    SniEndpoint,
    /// A run of the tests of a pipeline.
    TestRun,
    /// A backup, or what was made from one.
    Transfer,
    /// A user, as it was named.
    User(String),
    /// A webhook.
    Webhook,
    /// An event that webhooks were told of.
    WebhookEvent,
    /// A path that means nothing here.
    Route,
}

/// A name that is none of those that there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    name: String,
    known: Vec<String>,
}

impl Unknown {
    /// The most characters of it that are given back.
    const CHARS_MAX: usize = 150;
    /// The most names that are told.
    const KNOWN_MAX: usize = 20;

    /// A name, and those that there are.
    #[must_use]
    pub fn new<T: ToString>(name: &str, known: impl IntoIterator<Item = T>) -> Self {
        let known = known.into_iter().take(Self::KNOWN_MAX).map(|one| one.to_string()).collect();
        Self { name: name.chars().take(Self::CHARS_MAX).collect(), known }
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({})", self.name)?;
        match self.known.as_slice() {
            [] => Ok(()),
            [only] => write!(f, ": there is {only}"),
            [others @ .., last] => write!(f, ": there are {} and {last}", others.join(", ")),
        }
    }
}

impl Missing {
    /// The word in the body's `resource`.
    #[must_use]
    pub fn resource(&self) -> Option<&'static str> {
        match self {
            Self::App => Some("app"),
            Self::AddOn => Some("add_on"),
            Self::AppSetup => Some("app_setup"),
            Self::AddOnService(_) => Some("addon_service"),
            Self::Attachment => Some("add_on attachment"),
            Self::Authorization => Some("authorization"),
            Self::Collaborator => Some("collaborator"),
            Self::Build | Self::BuildOutput => Some("build"),
            Self::Coupling | Self::PlaceInPipeline => Some("pipeline_coupling"),
            Self::Delivery => Some("app_webhook_delivery"),
            Self::Domain => Some("domain"),
            Self::Drain => Some("log_drain"),
            Self::Dyno(_) => Some("dyno"),
            Self::DynoSize(_) => Some("dyno_size"),
            Self::Feature(_) => Some("feature"),
            Self::Job(_) => Some("job"),
            Self::Key => Some("key"),
            Self::LogSession | Self::Session => Some("session"),
            Self::Pipeline => Some("pipeline"),
            Self::ProcessType(_) => Some("formation"),
            Self::Promotion => Some("pipeline_promotion"),
            Self::Region(_) => Some("region"),
            Self::Release | Self::ReleaseOutput => Some("release"),
            Self::Repository => Some("repository"),
            Self::Slug => Some("slug"),
            Self::Source => Some("source"),
            Self::SniEndpoint => Some("sni_endpoint"),
            Self::Stack(_) => Some("stack"),
            Self::Credential => Some("credential"),
            Self::RemovedData => Some("removed_addon"),
            Self::Schedule => Some("schedule"),
            Self::TestRun => Some("test_run"),
            Self::Transfer => Some("transfer"),
            Self::User(_) => Some("user"),
            Self::Webhook => Some("app_webhook"),
            Self::WebhookEvent => Some("app_webhook_event"),
            Self::Route => None,
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App => f.write_str("Couldn't find that app."),
            Self::AddOn => f.write_str("Couldn't find that add-on."),
            Self::AppSetup => f.write_str("Couldn't find that app setup."),
            Self::AddOnService(name) => write!(f, "Couldn't find that add-on service ({name})."),
            Self::Attachment => f.write_str("Couldn't find that add-on attachment."),
            Self::Authorization => f.write_str("Couldn't find that authorization."),
            Self::Collaborator => f.write_str("Couldn't find that collaborator."),
            Self::Build => f.write_str("Couldn't find that build."),
            Self::BuildOutput => f.write_str("Couldn't find the output of a build."),
            Self::Coupling => f.write_str("The app is in no pipeline."),
            Self::Delivery => f.write_str("Couldn't find that delivery."),
            Self::Domain => f.write_str("Couldn't find that domain name."),
            Self::Drain => f.write_str("Couldn't find that drain."),
            Self::Dyno(name) => write!(f, "Couldn't find that dyno {name}."),
            Self::DynoSize(name) => write!(f, "Couldn't find that dyno size {name}."),
            Self::Feature(name) => write!(f, "Couldn't find that feature {name}."),
            Self::Key => f.write_str("Couldn't find that key."),
            Self::Job(number) => write!(f, "Couldn't find that job ({number})."),
            Self::LogSession => f.write_str("Couldn't find that log session, or it has expired."),
            Self::Pipeline => f.write_str("Couldn't find that pipeline."),
            Self::PlaceInPipeline => f.write_str("Couldn't find that pipeline coupling."),
            Self::ProcessType(name) => write!(f, "Couldn't find that process type {name}."),
            Self::Promotion => f.write_str("Couldn't find that promotion."),
            Self::Region(name) => write!(f, "Couldn't find that region ({name})."),
            Self::Release => f.write_str("Couldn't find that release."),
            Self::ReleaseOutput => f.write_str("Couldn't find the output of a release command."),
            Self::Repository => f.write_str("The app is connected to no repository."),
            Self::Session => f.write_str("Couldn't find that session."),
            Self::Credential => f.write_str("Couldn't find that credential: a database has one, default."),
            Self::RemovedData => {
                f.write_str("Couldn't find data of an add-on that was destroyed: it is kept for seven days.")
            }
            Self::Schedule => f.write_str("Couldn't find that schedule."),
            Self::TestRun => f.write_str("Couldn't find that test run."),
            Self::Transfer => f.write_str("Couldn't find that backup."),
            Self::Slug => f.write_str("Couldn't find that slug."),
            Self::Source => f.write_str("Couldn't find that source, or it has expired."),
            Self::SniEndpoint => f.write_str("Couldn't find that SSL certificate."),
            Self::Stack(name) => write!(f, "Couldn't find that stack {name}."),
            Self::User(name) => write!(f, "Couldn't find that user ({name})."),
            Self::Webhook => f.write_str("Couldn't find that webhook."),
            Self::WebhookEvent => f.write_str("Couldn't find that webhook event."),
            Self::Route => f.write_str("The requested API endpoint was not found."),
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn what_there_is_is_told_beside_what_there_is_not() {
        let told = |known: &[&str]| Missing::Stack(Unknown::new("old", known)).to_string();
        assert_eq!(told(&[]), "Couldn't find that stack (old).");
        assert_eq!(told(&["new"]), "Couldn't find that stack (old): there is new.");
        assert_eq!(told(&["a", "b", "c"]), "Couldn't find that stack (old): there are a, b and c.");
        let long =
            Missing::Stack(Unknown::new(&"x".repeat(1000), (0..1000).map(|n| n.to_string()))).to_string();
        assert!(long.len() < 300 && long.ends_with("18 and 19."), "{long}");
    }
}
