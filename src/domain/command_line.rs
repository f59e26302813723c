//! A command line for a shell, from the words of another one.

/// One word is a command line as it stands; of several, those that a shell would split or change are quoted.
#[must_use]
pub fn command_line(words: &[String]) -> String {
    match words {
        [one] => one.clone(),
        several => several.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" "),
    }
}

/// One word for a shell, in quotes where it would split or change it.
#[must_use]
pub fn shell_word(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) { word.to_owned() } else { shell_quoted(word) }
}

/// One word for a shell, in quotes whatever it holds.
#[must_use]
pub fn shell_quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn nothing_in_a_word_is_a_command() {
        assert_eq!(shell_quoted("a'; rm -rf /"), r"'a'\''; rm -rf /'");
        assert_eq!((shell_word("a/b"), shell_word("$(id)")), ("a/b".to_owned(), "'$(id)'".to_owned()));
    }

    #[test]
    fn words_reach_the_command_as_they_were_typed() {
        let line = |words: &[&str]| command_line(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(line(&["id; cat /proc/self/status"]), "id; cat /proc/self/status");
        assert_eq!(line(&["ls", "-la", "/app"]), "ls -la /app");
        assert_eq!(line(&["echo", "it's $HOME", ""]), r"echo 'it'\''s $HOME' ''");
    }
}
