//! A command line for a shell, from the words of another one.

/// One word is a command line as it stands; of several, those that a shell would split or change are quoted.
#[must_use]
pub fn command_line(words: &[String]) -> String {
    let quoted = |word: &String| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(&b);
        if !word.is_empty() && word.bytes().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    match words {
        [one] => one.clone(),
        several => several.iter().map(quoted).collect::<Vec<_>>().join(" "),
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn words_reach_the_command_as_they_were_typed() {
        let line = |words: &[&str]| command_line(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(line(&["id; cat /proc/self/status"]), "id; cat /proc/self/status");
        assert_eq!(line(&["ls", "-la", "/app"]), "ls -la /app");
        assert_eq!(line(&["echo", "it's $HOME", ""]), r"echo 'it'\''s $HOME' ''");
    }
}
