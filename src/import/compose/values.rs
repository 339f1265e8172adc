//! Reads values of a compose file that have several notations.
//! <https://docs.docker.com/reference/compose-file/services/>

use yaml_rust2::Yaml;

use crate::import::fields::settled;

pub use crate::source::yaml::text;

/// A text or a list of texts.
pub fn texts(value: &Yaml) -> Vec<String> {
    match value {
        Yaml::Array(entries) => entries.iter().filter_map(text).collect(),
        other => text(other).into_iter().collect(),
    }
}

/// A value of a mapping.
pub fn get<'a>(value: &'a Yaml, key: &str) -> Option<&'a Yaml> {
    value.as_hash()?.get(&Yaml::String(key.to_owned()))
}

/// The keys of a mapping and their values.
pub fn entries(value: &Yaml) -> Vec<(String, &Yaml)> {
    value.as_hash().into_iter().flatten().filter_map(|(key, value)| Some((key.as_str()?.to_owned(), value))).collect()
}

/// `environment`: a mapping, or a list of `NAME=VALUE`. Without a value the variable is passed on.
pub fn variables(value: &Yaml) -> Vec<(String, Option<String>)> {
    match value {
        Yaml::Array(lines) => lines
            .iter()
            .filter_map(text)
            .map(|line| match line.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (line, None),
            })
            .collect(),
        other => entries(other).into_iter().map(|(name, value)| (name, text(value))).collect(),
    }
}

/// A published port: the number on this machine, if one is given, and that in the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedPort {
    pub number: Option<u16>,
    pub target: u16,
}

/// The most ports that one range may have.
const MAX_RANGE: u16 = 20;

/// The ports that an entry of `ports` or `expose` publishes.
pub fn ports(value: &Yaml) -> Result<Vec<PublishedPort>, &'static str> {
    let number = |text: &str| text.parse::<u16>().ok().filter(|number| *number > 0);
    let (published, target, protocol) = match get(value, "target") {
        Some(target) => {
            let protocol = get(value, "protocol").and_then(text).unwrap_or_else(|| "tcp".to_owned());
            (get(value, "published").and_then(text), text(target), protocol)
        }
        None => {
            let text = settled(&text(value).ok_or("it is not a port")?);
            let (numbers, protocol) = text.split_once('/').unwrap_or((&text, "tcp"));
            let (published, target) = match numbers.rsplit_once(':') {
                Some((published, target)) => (Some(published), target),
                None => (None, numbers),
            };
            let published = published.map(|text| text.rsplit_once(':').map_or(text, |(_, number)| number).to_owned());
            (published, Some(target.to_owned()), protocol.to_owned())
        }
    };
    if protocol != "tcp" {
        return Err("only TCP is known");
    }
    let range = |text: &str| match text.split_once('-') {
        Some((from, to)) => Some((number(from)?, number(to)?)),
        None => Some((number(text)?, number(text)?)),
    };
    let target = settled(&target.unwrap_or_default());
    let (from, to) = range(&target).ok_or("it is not a port")?;
    if to < from || to - from >= MAX_RANGE {
        return Err("the range is too long");
    }
    let first = published.map(|text| settled(&text)).and_then(|text| range(&text));
    let fits = |(low, high): (u16, u16)| high.checked_sub(low) == Some(to - from);
    // One of several numbers is any number.
    let first = first.filter(|range| fits(*range)).map(|(low, _)| low);
    Ok((from..=to).map(|target| PublishedPort { number: first.map(|first| first + (target - from)), target }).collect())
}

/// `1m30s`, `10s`, `500ms` in seconds.
pub fn seconds(value: &Yaml) -> Option<f64> {
    let text = settled(&text(value)?);
    let mut total = 0.0;
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        let factor = match unit {
            "us" => 0.000_001,
            "ms" => 0.001,
            "s" | "" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * factor;
        rest = after;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_ports_are_read_in_every_spelling() {
        let yaml = |text: &str| crate::source::yaml::parse(text).unwrap();
        for (text, expected) in [("1m30s", 90.0), ("10s", 10.0), ("500ms", 0.5), ("3", 3.0), ("1h", 3600.0)] {
            assert_eq!(seconds(&yaml(text)), Some(expected), "{text}");
        }
        assert_eq!(seconds(&yaml("soon")), None);
        let one = |number, target| Ok(vec![PublishedPort { number, target }]);
        for (text, expected) in [
            ("'8000:80'", one(Some(8000), 80)),
            ("'127.0.0.1:8000:80/tcp'", one(Some(8000), 80)),
            ("'80'", one(None, 80)),
            ("80", one(None, 80)),
            ("{target: 80, published: '8080'}", one(Some(8080), 80)),
            ("{target: 80, published: 8080-8090}", one(None, 80)),
            ("'9000-9010:80'", one(None, 80)),
            ("'53:53/udp'", Err("only TCP is known")),
            ("{target: 53, protocol: udp}", Err("only TCP is known")),
            ("'1-60000'", Err("the range is too long")),
            ("'5-4'", Err("the range is too long")),
            ("x", Err("it is not a port")),
            ("[]", Err("it is not a port")),
        ] {
            assert_eq!(ports(&yaml(text)), expected, "{text}");
        }
        let several = ports(&yaml("'3000-3002:4000-4002'")).unwrap();
        assert_eq!(several[2], PublishedPort { number: Some(3002), target: 4002 });
    }
}
