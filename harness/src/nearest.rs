//! What somebody who mistyped a name may have meant.

/// "there is no `kind` `word`", with the nearest of `names` and all of them.
pub fn unknown(kind: &str, word: &str, names: &[&str]) -> String {
    let all = names.join(", ");
    match nearest(word, names) {
        Some(name) => format!("there is no {kind} {word:?}: did you mean {name:?}? (there are: {all})"),
        None => format!("there is no {kind} {word:?} (there are: {all})"),
    }
}

/// The most similar name by Jaro and Winkler's measure, which forgives what fingers do at the
/// ends of words; `None` where there is no name at all.
pub fn nearest<'a>(word: &str, names: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    names
        .iter()
        .map(|name| (strsim::jaro_winkler(&word, &name.to_lowercase()), *name))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// Puts serde's message about an unknown field, which lists what it knows between backquotes,
/// into our words; `None` where the message is about something else.
pub fn in_serde_message(message: &str) -> Option<String> {
    let quoted: Vec<&str> = message.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2).collect();
    let (word, names) = quoted.split_first()?;
    Some(unknown("key", word, names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serde_names_the_fields_it_knows() {
        let text = "unknown field `instnaces`, expected one of `on`, `instances`, `storms`";
        assert_eq!(
            in_serde_message(text).unwrap(),
            "there is no key \"instnaces\": did you mean \"instances\"? (there are: on, instances, storms)"
        );
        assert_eq!(in_serde_message("invalid type"), None);
    }

    #[test]
    fn names_the_nearest() {
        let names = ["process", "container", "vm:direct"];
        assert_eq!(nearest("contaner", &names), Some("container"));
        assert_eq!(nearest("VM", &names), Some("vm:direct"));
        assert_eq!(nearest("x", &[]), None);
        assert!(unknown("backend", "proces", &names).contains("did you mean \"process\"?"));
    }
}
