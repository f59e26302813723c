//! What the program tells of itself beyond the help of one command: its topics, and pages of the manual. Both come of the one
//! grammar.

use std::collections::BTreeMap;
use std::io;

use clap::Command;
use clap::builder::StyledStr;
use clap_mangen::Man;

/// Between a topic's name and what it is about, columns.
const TOPIC_COLUMNS: usize = 16;
/// The columns that a command's name has in the list of its topic's.
const COMMAND_COLUMNS: usize = 28;
/// What topics are about that have no command of their own name: to call one shows its help.
const ABOUT: [(&str, &str); 3] = [
    ("auth", "As whom a node sees you, and your token"),
    ("git", "Git remotes that lead to the node"),
    ("slugs", "What builds have made"),
];
/// Commands of the platform's own tool that there are not, or the begin of several and a star, and what to do instead.
const ELSEWHERE: [(&str, &str); 25] = [
    ("2fa*", "users of a node have passwords and tokens alone; see `dyno authorizations`"),
    ("twofactor*", "users of a node have passwords and tokens alone; see `dyno authorizations`"),
    ("apps:errors", "see `dyno why`, and `dyno logs --source heroku`"),
    ("apps:favorites*", "there is no dashboard; see `dyno apps`"),
    ("apps:transfer", "give an app away with `dyno heroku apps:transfer`"),
    ("sharing:transfer", "give an app away with `dyno heroku apps:transfer`"),
    ("apps:stacks*", "see `dyno stack`"),
    ("certs:generate", "make a key and a request with openssl, then `dyno certs:add`"),
    ("ci:debug", "run a command beside the app with `dyno local:run`, or see `dyno ci:run`"),
    ("ci:open", "see `dyno ci:info`"),
    ("clients*", "no other program signs in with a node's users; see `dyno authorizations`"),
    ("container*", "images are not deployed: push source code, or see `dyno stacks:import`"),
    ("dashboard", "there is none; see `dyno info` and `dyno metrics`"),
    ("data*", "see `dyno pg` and `dyno redis`"),
    ("labs:*", "see `dyno features`"),
    ("members*", "there are no teams: share an app with `dyno access:add`"),
    ("orgs*", "there are no teams: share an app with `dyno access:add`"),
    ("teams*", "there are no teams: share an app with `dyno access:add`"),
    ("spaces*", "there are no private spaces"),
    ("plugins*", "there are no plugins; the stock command with its own is run by `dyno heroku`"),
    ("ps:autoscale*", "scale with `dyno ps:scale`; a job of `dyno scheduler` can call it"),
    ("ps:forward", "see `dyno ps:exec`, and `dyno ps:copy` for files"),
    ("ps:socks", "see `dyno ps:exec`"),
    (
        "reviewapps*",
        "make an app for a branch with `dyno create` and `git push`, and put it into the pipeline's stage review",
    ),
    ("update", "install a newer version with scripts/install; see docs/install.md"),
];
/// The help of a topic that is no command.
const TOPIC_TEMPLATE: &str = "{about-with-newline}{after-help}\n";
/// The list of topics in place of clap's list of every command.
const TEMPLATE: &str = "{about-with-newline}\n{usage-heading} {usage}{after-help}\n\nOptions:\n{options}";

/// The grammar with its help sorted by topics: the program lists them, and a topic lists its commands.
pub(super) fn by_topic(program: Command) -> Command {
    let topics = Topics::of(&program);
    let overview = topics.overview();
    let mut program = program.help_template(TEMPLATE).after_help(StyledStr::from(overview));
    for (topic, commands) in topics.0 {
        let is_command = program.find_subcommand(topic.as_str()).is_some();
        if is_command && commands.len() == 1 {
            continue;
        }
        let list = StyledStr::from(listed(&commands, &topic));
        program = if is_command {
            program.mut_subcommand(topic.as_str(), |command| command.after_help(list))
        } else {
            let about = ABOUT.iter().find(|(name, _)| *name == topic).map_or("", |(_, about)| *about);
            program
                .subcommand(Command::new(topic).about(about).help_template(TOPIC_TEMPLATE).after_help(list))
        };
    }
    program
}

/// The help of a topic that is no command, if `name` is one: to ask for the topic is to ask for its help.
pub(super) fn of_topic(program: &mut Command, name: &str) -> Option<String> {
    ABOUT.iter().find(|(topic, _)| *topic == name)?;
    program.find_subcommand_mut(name).map(|topic| topic.render_help().to_string())
}

/// What to do instead of a command of the platform's own tool that there is not.
pub(super) fn instead(name: &str) -> Option<&'static str> {
    let is_meant = |what: &str| match what.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == what,
    };
    ELSEWHERE.iter().find(|(what, _)| is_meant(what)).map(|(_, instead)| *instead)
}

/// The page of the program, and one of each command, by name: `dyno`, `dyno-ps-scale`.
pub(super) fn pages(program: &Command) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut program = program.clone();
    program.build();
    let mut pages = BTreeMap::new();
    pages.insert("dyno".to_owned(), page(&program, "dyno")?);
    // What clap adds itself has nothing to say that the other pages do not.
    let told = |command: &&Command| !command.is_hide_set() && command.get_name() != "help";
    for command in program.get_subcommands().filter(told) {
        let name = format!("dyno-{}", command.get_name().replace(':', "-"));
        pages.insert(name.clone(), page(command, &name)?);
    }
    Ok(pages)
}

fn page(command: &Command, name: &str) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    // A name with a colon is no file's.
    Man::new(command.clone()).title(name).render(&mut page)?;
    Ok(page)
}

/// Topics in the order of the grammar, each with its commands and what they are about.
struct Topics(Vec<(String, Vec<(String, String)>)>);

impl Topics {
    fn of(program: &Command) -> Self {
        let mut topics: Vec<(String, Vec<(String, String)>)> = Vec::new();
        for command in program.get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = command.get_name();
            let topic = name.split_once(':').map_or(name, |(topic, _)| topic);
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            let entry = (name.to_owned(), about);
            match topics.iter_mut().find(|(known, _)| known == topic) {
                Some((_, commands)) => commands.push(entry),
                None => topics.push((topic.to_owned(), vec![entry])),
            }
        }
        Self(topics)
    }

    fn overview(&self) -> String {
        let mut text = "Commands, by topic (dyno TOPIC --help tells of one):\n".to_owned();
        for (topic, commands) in &self.0 {
            let own = commands.iter().find(|(name, _)| name == topic).map(|(_, about)| about.as_str());
            let known = ABOUT.iter().find(|(name, _)| name == topic).map(|(_, about)| *about);
            let about = own.or(known).unwrap_or_default();
            text += format!("  {topic:TOPIC_COLUMNS$}{}", short(about)).trim_end();
            text.push('\n');
        }
        text.trim_end().to_owned()
    }
}

/// What is said before the first colon, semicolon or bracket: the rest is for the help of the command itself.
fn short(about: &str) -> &str {
    [": ", "; ", " ("].iter().filter_map(|end| about.find(end)).min().map_or(about, |end| &about[..end])
}

/// The other commands of a topic.
fn listed(commands: &[(String, String)], topic: &str) -> String {
    let others = commands.iter().filter(|(name, _)| name != topic);
    let line = |(name, about): &(String, String)| format!("  {name:COMMAND_COLUMNS$}{}\n", short(about));
    format!("Commands of this topic:\n{}", others.map(line).collect::<String>()).trim_end().to_owned()
}

#[cfg(test)]
mod test {
    use super::*;

    fn program() -> Command {
        let command = |name: &'static str, about: &'static str| Command::new(name).about(about);
        Command::new("dyno").about("A program").subcommands([
            command("ps", "List dynos"),
            command("ps:scale", "Scale dynos: web=2"),
            command("git:remote", "Make a remote"),
            command("git:hook", "Secret").hide(true),
        ])
    }

    #[test]
    fn the_program_lists_topics_and_a_topic_lists_its_commands() {
        let mut program = by_topic(program());
        let help = program.render_help().to_string();
        assert!(help.contains("  ps              List dynos\n"), "{help}");
        assert!(!help.contains("Scale dynos") && !help.contains("Secret"), "{help}");
        assert!(help.contains("  git             Git remotes"), "{help}");
        assert!(of_topic(&mut program, "git").unwrap().contains("  git:remote"));
        assert_eq!(of_topic(&mut program, "ps"), None);
        let help = program.find_subcommand_mut("ps").unwrap().render_help().to_string();
        assert!(help.contains("  ps:scale                    Scale dynos\n"), "{help}");
    }

    #[test]
    fn what_there_is_not_is_told_with_what_to_use() {
        assert!(instead("container:push").unwrap().contains("push source code"));
        assert!(instead("spaces").is_some() && instead("update").is_some());
        assert!(instead("updates").is_none() && instead("ps").is_none());
        for (what, _) in ELSEWHERE {
            let name = what.trim_end_matches('*');
            let program = crate::cli::grammar(&[]);
            assert!(program.find_subcommand(name).is_none(), "{name} is there");
        }
    }

    #[test]
    fn every_command_has_a_page_whose_name_is_a_files() {
        let pages = pages(&by_topic(program())).unwrap();
        assert_eq!(
            pages.keys().collect::<Vec<_>>(),
            ["dyno", "dyno-git", "dyno-git-remote", "dyno-ps", "dyno-ps-scale"]
        );
        let page = String::from_utf8(pages["dyno-ps-scale"].clone()).unwrap();
        assert!(page.contains(".TH dyno-ps-scale 1") && page.contains("Scale dynos"), "{page}");
    }
}
