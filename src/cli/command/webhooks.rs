//! `dyno webhooks`, `webhooks:add`, `info`, `update`, `remove`, `events`, `deliveries` and `deliveries:info`

use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, heading, pairs, ruled, shown_app};
use crate::wire::api::{SECRET_HEADER, SetWebhook, Webhook, WebhookDelivery, WebhookEvent};

/// Show the places that are told of what becomes of an app
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
}

/// Tell a place of what becomes of an app
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct AddArgs {
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    parts: PartArgs,
}

/// Show one webhook of an app
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct InfoArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Identity of the webhook
    #[arg(value_name = "ID")]
    id: String,
}

/// Change a webhook of an app
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct UpdateArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Identity of the webhook
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    parts: PartArgs,
}

/// Tell a place no more of what becomes of an app
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RemoveArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Identity of the webhook
    #[arg(value_name = "ID")]
    id: String,
}

/// Show what webhooks were told of
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct EventsArgs {
    #[command(flatten)]
    app: AppArgs,
}

/// Show what became of telling webhooks
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DeliveriesArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Only those that are pending, retrying, succeeded or failed
    #[arg(short, long, value_name = "STATUS")]
    status: Option<String>,
}

/// Show one delivery and what was told
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DeliveryArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Identity of the delivery
    #[arg(value_name = "ID")]
    id: String,
}

/// What a webhook is made of.
#[derive(clap::Args)]
struct PartArgs {
    /// What it is told of: api:app, api:build, api:collaborator, api:domain, api:dyno, api:formation, api:release, api:sni-endpoint
    #[arg(short, long, value_name = "EVENTS", value_delimiter = ',', required = true)]
    include: Vec<String>,
    /// notify tries once, sync until it is taken, ten times at most
    #[arg(short, long, value_name = "LEVEL")]
    level: String,
    /// Where it leads: http or https
    #[arg(short, long, value_name = "URL")]
    url: String,
    /// What deliveries are signed with, in the header Heroku-Webhook-Hmac-SHA256
    #[arg(short, long, value_name = "SECRET")]
    secret: Option<String>,
    /// Authorization header of deliveries
    #[arg(short = 't', long, value_name = "VALUE")]
    authorization: Option<String>,
}

/// Two of them are secret.
impl std::fmt::Debug for PartArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartArgs").field("include", &self.include).finish_non_exhaustive()
    }
}

impl PartArgs {
    fn body(self) -> SetWebhook {
        SetWebhook {
            authorization: self.authorization,
            include: Some(self.include),
            level: Some(self.level),
            secret: self.secret,
            url: Some(self.url),
        }
    }
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let all: Vec<Webhook> = context.client.get(&format!("/apps/{app}/webhooks")).await?;
        if context.node.json { output::json(&all) } else { output::data(&listed(&app, &all)) }
    }
}

impl AddArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let path = format!("/apps/{app}/webhooks");
        let body = self.parts.body();
        let added = context.client.send_json_with_header(Method::POST, &path, &body, SECRET_HEADER);
        let text = format!("Adding webhook to {}", shown_app(&app));
        let (added, secret): (Webhook, _) = output::action(&text, added, |_| None).await?;
        if context.node.json {
            return output::json(&serde_json::json!({ "webhook": added, "secret": secret }));
        }
        let secret = secret.unwrap_or_default();
        output::data(&(heading("Webhooks Signing Secret") + &secret + "\n"))
    }
}

impl InfoArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let webhook: Webhook = context.client.get(&path(&app, "webhooks", &self.id)).await?;
        if context.node.json { output::json(&webhook) } else { output::data(&described(&webhook)) }
    }
}

impl UpdateArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let text = format!("Updating webhook {} for {}", self.id, shown_app(&app));
        let (path, body) = (path(&app, "webhooks", &self.id), self.parts.body());
        let changed = context.client.send_json::<Webhook>(Method::PATCH, &path, &body);
        let changed = output::action(&text, changed, |_| None).await?;
        if context.node.json { output::json(&changed) } else { Ok(()) }
    }
}

impl RemoveArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let text = format!("Removing webhook {} from {}", self.id, shown_app(&app));
        let path = path(&app, "webhooks", &self.id);
        let removed = context.client.call::<Webhook>(Method::DELETE, &path);
        let removed = output::action(&text, removed, |_| None).await?;
        if context.node.json { output::json(&removed) } else { Ok(()) }
    }
}

impl EventsArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let mut all: Vec<WebhookEvent> = context.client.get(&format!("/apps/{app}/webhook-events")).await?;
        if context.node.json {
            return output::json(&all);
        }
        if all.is_empty() {
            return output::data(&format!("{} has no events\n", shown_app(&app)));
        }
        all.reverse();
        let header = ["Event ID", "Resource", "Action", "Published At"].map(str::to_owned).to_vec();
        let told = |event: &WebhookEvent, name: &str| {
            event.payload.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
        };
        let row = |event: &WebhookEvent| {
            let told = |name| told(event, name);
            vec![event.id.to_string(), told("resource"), told("action"), told("published_at")]
        };
        let rows: Vec<_> = std::iter::once(header).chain(all.iter().map(row)).collect();
        output::data(&ruled(&rows))
    }
}

impl DeliveriesArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let mut path = format!("/apps/{app}/webhook-deliveries");
        if let Some(status) = &self.status {
            path += &format!("?eq[status]={}", utf8_percent_encode(status, NON_ALPHANUMERIC));
        }
        let mut all: Vec<WebhookDelivery> = context.client.get(&path).await?;
        if context.node.json {
            return output::json(&all);
        }
        if all.is_empty() {
            return output::data(&format!("{} has no deliveries\n", shown_app(&app)));
        }
        all.reverse();
        output::data(&deliveries(&all))
    }
}

impl DeliveryArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let delivery: WebhookDelivery =
            context.client.get(&path(&app, "webhook-deliveries", &self.id)).await?;
        let event = path(&app, "webhook-events", &delivery.event.id.to_string());
        let event: WebhookEvent = context.client.get(&event).await?;
        if context.node.json {
            return output::json(&serde_json::json!({ "delivery": delivery, "event": event }));
        }
        let payload = serde_json::to_string_pretty(&event.payload).unwrap_or_default();
        let told = delivery_described(&delivery);
        output::data(&(told + "\n" + &heading("Event Payload") + &payload + "\n"))
    }
}

fn path(app: &str, what: &str, id: &str) -> String {
    format!("/apps/{app}/{what}/{}", utf8_percent_encode(id, NON_ALPHANUMERIC))
}

fn listed(app: &str, all: &[Webhook]) -> String {
    if all.is_empty() {
        return format!("{} has no webhooks\nUse dyno webhooks:add to add one.\n", shown_app(app));
    }
    let header = ["Webhook ID", "URL", "Include", "Level"].map(str::to_owned).to_vec();
    let row = |webhook: &Webhook| {
        vec![webhook.id.to_string(), webhook.url.clone(), webhook.include.join(","), webhook.level.clone()]
    };
    ruled(&std::iter::once(header).chain(all.iter().map(row)).collect::<Vec<_>>())
}

fn described(webhook: &Webhook) -> String {
    let (id, include) = (webhook.id.to_string(), webhook.include.join(","));
    heading(&id)
        + &pairs([
            ("Include", include.as_str()),
            ("Level", &webhook.level),
            ("URL", &webhook.url),
            ("Webhook ID", &id),
        ])
}

fn deliveries(all: &[WebhookDelivery]) -> String {
    let header =
        ["Delivery ID", "Created", "Status", "Include", "Level", "Attempts", "Code", "Error", "Next Attempt"];
    let row = |delivery: &WebhookDelivery| {
        let (code, error) = last(delivery);
        vec![
            delivery.id.to_string(),
            delivery.created_at.clone(),
            delivery.status.clone(),
            delivery.event.include.clone(),
            delivery.webhook.level.clone(),
            delivery.num_attempts.to_string(),
            code,
            error,
            delivery.next_attempt_at.clone().unwrap_or_default(),
        ]
    };
    let header = header.map(str::to_owned).to_vec();
    ruled(&std::iter::once(header).chain(all.iter().map(row)).collect::<Vec<_>>())
}

/// The code and the error of the last attempt.
fn last(delivery: &WebhookDelivery) -> (String, String) {
    let attempt = delivery.last_attempt.as_ref();
    let code = attempt.and_then(|attempt| attempt.code).map(|code| code.to_string());
    let error = attempt.and_then(|attempt| attempt.error_class.clone());
    (code.unwrap_or_default(), error.unwrap_or_default())
}

fn delivery_described(delivery: &WebhookDelivery) -> String {
    let (code, error) = last(delivery);
    let (event, webhook) = (delivery.event.id.to_string(), delivery.webhook.id.to_string());
    let attempts = delivery.num_attempts.to_string();
    let rows = [
        ("Attempts", attempts.as_str()),
        ("Code", &code),
        ("Created", &delivery.created_at),
        ("Error", &error),
        ("Event", &event),
        ("Include", &delivery.event.include),
        ("Level", &delivery.webhook.level),
        ("Next Attempt", delivery.next_attempt_at.as_deref().unwrap_or_default()),
        ("Status", &delivery.status),
        ("Webhook", &webhook),
    ];
    heading(&delivery.id.to_string()) + &pairs(rows.into_iter().filter(|(_, value)| !value.is_empty()))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn secrets_are_not_in_what_is_shown_for_debugging() {
        let parts = PartArgs {
            include: vec!["api:release".to_owned()],
            level: "notify".to_owned(),
            url: "https://hooks.example.com/a-token".to_owned(),
            secret: Some("the-secret".to_owned()),
            authorization: Some("Bearer x".to_owned()),
        };
        let shown = format!("{parts:?}") + &format!("{:?}", parts.body());
        assert!(!["a-token", "the-secret", "Bearer"].iter().any(|secret| shown.contains(secret)), "{shown}");
    }

    #[test]
    fn a_delivery_is_shown_with_its_last_attempt() {
        let id = uuid::Uuid::nil();
        let delivery = serde_json::json!({
            "created_at": "2026-11-18T01:36:38Z", "event": {"id": id, "include": "api:release"}, "id": id,
            "last_attempt": {"code": null, "created_at": "", "error_class": "Timeout", "id": id,
                "status": "failed", "updated_at": ""},
            "next_attempt_at": "2026-11-18T01:36:58Z", "num_attempts": 1, "status": "retrying",
            "updated_at": "2026-11-18T01:36:48Z", "webhook": {"id": id, "level": "sync"},
        });
        let delivery: WebhookDelivery = serde_json::from_value(delivery).unwrap();
        insta::assert_snapshot!(delivery_described(&delivery), @r"
        === 00000000-0000-0000-0000-000000000000

        Attempts:     1
        Created:      2026-11-18T01:36:38Z
        Error:        Timeout
        Event:        00000000-0000-0000-0000-000000000000
        Include:      api:release
        Level:        sync
        Next Attempt: 2026-11-18T01:36:58Z
        Status:       retrying
        Webhook:      00000000-0000-0000-0000-000000000000
        ");
    }
}
