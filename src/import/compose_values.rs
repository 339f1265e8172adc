//! The values of a `docker-compose.yml` that have several spellings.
//! <https://docs.docker.com/reference/compose-file/services/>

use yaml_rust2::Yaml;

use super::section::literal_part;

/// A scalar as text.
pub fn text(value: &Yaml) -> Option<String> {
    match value {
        Yaml::String(text) | Yaml::Real(text) => Some(text.clone()),
        Yaml::Integer(number) => Some(number.to_string()),
        Yaml::Boolean(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// A text or a list of texts.
pub fn texts(value: &Yaml) -> Vec<String> {
    match value {
        Yaml::Array(entries) => entries.iter().filter_map(text).collect(),
        other => text(other).into_iter().collect(),
    }
}

/// A value of a mapping, that of `<<` included.
pub fn get<'a>(value: &'a Yaml, key: &str) -> Option<&'a Yaml> {
    let own = value.as_hash()?;
    let merged = || match own.get(&Yaml::String("<<".to_owned()))? {
        Yaml::Array(several) => several.iter().find_map(|one| get(one, key)),
        one => get(one, key),
    };
    own.get(&Yaml::String(key.to_owned())).or_else(merged)
}

/// The keys of a mapping and their values, those of `<<` included.
pub fn entries(value: &Yaml) -> Vec<(String, &Yaml)> {
    let Some(own) = value.as_hash() else { return Vec::new() };
    let mut found: Vec<(String, &Yaml)> = Vec::new();
    for (key, value) in own {
        match (text(key).as_deref(), value) {
            (Some("<<"), Yaml::Array(several)) => found.extend(several.iter().flat_map(entries)),
            (Some("<<"), one) => found.extend(entries(one)),
            (Some(key), value) => {
                found.retain(|(known, _)| known != key);
                found.push((key.to_owned(), value));
            }
            (None, _) => {}
        }
    }
    found
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
pub fn port(value: &Yaml) -> Option<(Option<u16>, u16)> {
    if let Some(target) = get(value, "target") {
        let published = get(value, "published").and_then(text).and_then(|number| number.parse().ok());
        return Some((published, text(target)?.parse().ok()?));
    }
    let text = text(value)?;
    let (numbers, protocol) = text.split_once('/').unwrap_or((&text, "tcp"));
    if protocol != "tcp" {
        return None;
    }
    match numbers.rsplit_once(':') {
        None => Some((None, numbers.parse().ok()?)),
        Some((published, target)) => {
            let published = published.rsplit_once(':').map_or(published, |(_, number)| number);
            Some((published.parse().ok(), target.parse().ok()?))
        }
    }
}

/// `1m30s`, `10s`, `500ms` in seconds.
pub fn seconds(value: &Yaml) -> Option<f64> {
    let text = text(value)?;
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

/// `$NAME`, `${NAME}`, `${NAME:-default}` and `$$` as a `tox.ini` says them, everything else as it stands.
pub fn interpolated(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    let name_end = |text: &str| text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    while let Some(at) = rest.find('$') {
        result.push_str(&literal_part(&rest[..at]));
        let after = &rest[at + 1..];
        if let Some(after) = after.strip_prefix('$') {
            result.push('$');
            rest = after;
        } else if let Some((inside, after)) = after.strip_prefix('{').and_then(|inside| inside.split_once('}')) {
            let (name, default) = inside.split_at(name_end(inside));
            let default = default.strip_prefix(":-").or_else(|| default.strip_prefix('-')).unwrap_or("");
            result.push_str(&format!("{{env:{name}:{}}}", literal_part(default)));
            rest = after;
        } else {
            let (name, after) = after.split_at(name_end(after));
            match name {
                "" => result.push('$'),
                name => result.push_str(&format!("{{env:{name}:}}")),
            }
            rest = after;
        }
    }
    result + &literal_part(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_ports_are_read_in_every_spelling() {
        let yaml = |text: &str| yaml_rust2::YamlLoader::load_from_str(text).unwrap().remove(0);
        for (text, expected) in [("1m30s", 90.0), ("10s", 10.0), ("500ms", 0.5), ("3", 3.0), ("1h", 3600.0)] {
            assert_eq!(seconds(&yaml(text)), Some(expected), "{text}");
        }
        assert_eq!(seconds(&yaml("soon")), None);
        for (text, expected) in [
            ("'8000:80'", (Some(8000), 80)),
            ("'127.0.0.1:8000:80/tcp'", (Some(8000), 80)),
            ("'80'", (None, 80)),
            ("80", (None, 80)),
            ("{target: 80, published: '8080'}", (Some(8080), 80)),
        ] {
            assert_eq!(port(&yaml(text)), Some(expected), "{text}");
        }
        assert_eq!(port(&yaml("'53:53/udp'")), None);
        assert_eq!(port(&yaml("'3000-3005'")), None);
    }

    #[test]
    fn variables_in_values_become_toxs() {
        assert_eq!(interpolated("a$B-${C}/${D:-e}${F-g}$$h$"), "a{env:B:}-{env:C:}/{env:D:e}{env:F:g}$h$");
        assert_eq!(interpolated("{x} # y"), "\\{x\\} \\# y");
    }
}
