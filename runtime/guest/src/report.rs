//! The report of a workload `report`: what is found of the image, which is the same wherever it is
//! started unmodified, and what is found of the surroundings, which are whoever starts it's own.
//!
//! A line an item: `image KEY VALUE` or `around KEY VALUE`.

use std::collections::BTreeMap;

/// Variable of the plan's environment with the name of the host, so that the report can say whether
/// the name inside is another.
pub const HOST_NAME: &str = "BENCH_HOST_NAME";

/// A report as read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Of the image: lines in their order, which count byte by byte.
    pub image: Vec<String>,
    /// Of the surroundings, by key.
    pub around: BTreeMap<String, String>,
}

impl Report {
    /// Reads the lines of a report; others are somebody else's.
    pub fn read<'a>(lines: impl IntoIterator<Item = &'a str>) -> Report {
        let mut report = Report::default();
        for line in lines {
            if let Some(rest) = line.strip_prefix("image ") {
                report.image.push(rest.to_owned());
            } else if let Some((key, value)) =
                line.strip_prefix("around ").and_then(|rest| rest.split_once(' '))
            {
                report.around.insert(key.to_owned(), value.to_owned());
            }
        }
        report
    }

    /// Whether there is one at all.
    pub fn is_empty(&self) -> bool {
        self.image.is_empty()
    }

    /// What of the image is not as in `other`: keys of lines that only one of them has.
    pub fn differing_image(&self, other: &Report) -> Vec<String> {
        let key = |line: &String| line.rsplit_once(' ').map_or(line.clone(), |(key, _)| key.to_owned());
        let mut keys: Vec<String> = Vec::new();
        for (one, two) in [(self, other), (other, self)] {
            keys.extend(one.image.iter().filter(|line| !two.image.contains(line)).map(key));
        }
        keys.sort();
        keys.dedup();
        if keys.is_empty() && self.image != other.image {
            keys.push("order of lines".into());
        }
        keys
    }

    /// Keys of the surroundings that are not as in `other`.
    pub fn differing_around(&self, other: &Report) -> Vec<String> {
        let mut keys: Vec<&String> = self.around.keys().chain(other.around.keys()).collect();
        keys.sort();
        keys.dedup();
        keys.into_iter().filter(|key| self.around.get(*key) != other.around.get(*key)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named() {
        let one = Report::read([
            "image files /usr 3 ab",
            "noise",
            "image sum 7",
            "around uid 0",
            "around seccomp 2",
        ]);
        assert_eq!(one.image.len(), 2);
        let two = Report::read(["image files /usr 3 ac", "image sum 7", "around uid 0"]);
        assert_eq!(one.differing_image(&two), ["files /usr 3"]);
        assert_eq!(one.differing_around(&two), ["seccomp"]);
        let turned =
            Report::read(["image sum 7", "image files /usr 3 ab", "around uid 0", "around seccomp 2"]);
        assert_eq!(one.differing_image(&turned), ["order of lines"]);
        assert!(
            one.differing_image(&one.clone()).is_empty() && one.differing_around(&one.clone()).is_empty()
        );
        assert!(Report::read(["panic!"]).is_empty());
    }
}
