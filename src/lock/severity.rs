//! Rates the severity of a vulnerability in one word: the database's own, else one computed from its CVSS vector.
//! <https://www.first.org/cvss/v3.1/specification-document> <https://www.first.org/cvss/v2/guide>

use serde_json::Value;

/// The severity in an OSV entry for a package, listed in `affected`.
pub fn of_entry(entry: &Value, affected: &[&Value]) -> Option<String> {
    let parts = || std::iter::once(entry).chain(affected.iter().copied());
    let named =
        parts().flat_map(|part| [&part["ecosystem_specific"]["severity"], &part["database_specific"]["severity"]]);
    if let Some(word) = named.filter_map(Value::as_str).map(str::trim).find(|word| !word.is_empty()) {
        return Some(normalised(word));
    }
    let scores = || {
        let scores = parts().flat_map(|part| part["severity"].as_array().into_iter().flatten());
        scores.filter_map(|score| score["score"].as_str())
    };
    let rated = |rate: fn(&str) -> Option<&'static str>| scores().find_map(rate).map(str::to_owned);
    // A score that cannot be rated (CVSS 4 requires tables) is shown as it is.
    rated(rating_v3).or_else(|| rated(rating_v2)).or_else(|| scores().next().map(normalised))
}

fn normalised(word: &str) -> String {
    if word.contains(':') {
        return word.to_owned();
    }
    match word.to_lowercase().as_str() {
        "moderate" => "medium".to_owned(),
        other => other.to_owned(),
    }
}

/// The rating of a CVSS 3.0 or 3.1 vector; `None` if it is invalid.
fn rating_v3(vector: &str) -> Option<&'static str> {
    let metrics = vector.strip_prefix("CVSS:3.0/").or_else(|| vector.strip_prefix("CVSS:3.1/"))?;
    let weight = |name: &str, weights: &[(&str, f64)]| weight(metrics, name, weights);
    let is_changed = weight("S", &[("U", 0.0), ("C", 1.0)])? > 0.5;
    let privileges =
        if is_changed { [("N", 0.85), ("L", 0.68), ("H", 0.5)] } else { [("N", 0.85), ("L", 0.62), ("H", 0.27)] };
    let exploitability = 8.22
        * weight("AV", &[("N", 0.85), ("A", 0.62), ("L", 0.55), ("P", 0.2)])?
        * weight("AC", &[("L", 0.77), ("H", 0.44)])?
        * weight("PR", &privileges)?
        * weight("UI", &[("N", 0.85), ("R", 0.62)])?;
    let mut untouched = 1.0;
    for name in ["C", "I", "A"] {
        untouched *= 1.0 - weight(name, &[("H", 0.56), ("L", 0.22), ("N", 0.0)])?;
    }
    let base = 1.0 - untouched;
    let impact = if is_changed { 7.52 * (base - 0.029) - 3.25 * (base - 0.02_f64).powi(15) } else { 6.42 * base };
    let score = match impact {
        impact if impact <= 0.0 => 0.0,
        impact if is_changed => (1.08 * (impact + exploitability)).min(10.0),
        impact => (impact + exploitability).min(10.0),
    };
    // Rounds up to the next tenth, as CVSS 3.1 does.
    let tenths = ((score * 100_000.0).round() / 10_000.0).ceil();
    Some(match tenths {
        tenths if tenths < 1.0 => "none",
        tenths if tenths < 40.0 => "low",
        tenths if tenths < 70.0 => "medium",
        tenths if tenths < 90.0 => "high",
        _ => "critical",
    })
}

/// The rating of a CVSS 2 vector; `None` if it is invalid.
fn rating_v2(vector: &str) -> Option<&'static str> {
    let weight = |name: &str, weights: &[(&str, f64)]| weight(vector, name, weights);
    let exploitability = 20.0
        * weight("AV", &[("L", 0.395), ("A", 0.646), ("N", 1.0)])?
        * weight("AC", &[("H", 0.35), ("M", 0.61), ("L", 0.71)])?
        * weight("Au", &[("M", 0.45), ("S", 0.56), ("N", 0.704)])?;
    let mut untouched = 1.0;
    for name in ["C", "I", "A"] {
        untouched *= 1.0 - weight(name, &[("N", 0.0), ("P", 0.275), ("C", 0.66)])?;
    }
    let impact = 10.41 * (1.0 - untouched);
    let score = if impact > 0.0 { (0.6 * impact + 0.4 * exploitability - 1.5) * 1.176 } else { 0.0 };
    Some(match (score * 10.0).round() {
        tenths if tenths < 40.0 => "low",
        tenths if tenths < 70.0 => "medium",
        _ => "high",
    })
}

/// The weight of the metric `name` in a vector.
fn weight(vector: &str, name: &str, weights: &[(&str, f64)]) -> Option<f64> {
    let value = vector.split('/').find_map(|metric| metric.strip_prefix(name)?.strip_prefix(':'))?;
    weights.iter().find(|(known, _)| *known == value).map(|(_, weight)| *weight)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn vectors_are_rated_as_their_specification_rates_them() {
        // Scores of the specifications' examples: 9.8, 10.0, 6.1, 6.4, 3.1, 0.0, 7.5, 8.8.
        for (vector, rating) in [
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "critical"),
            ("CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", "critical"),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", "medium"),
            ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N", "medium"),
            ("CVSS:3.1/AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:N/A:N", "low"),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", "none"),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N/E:P", "high"),
            ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", "high"),
        ] {
            assert_eq!(rating_v3(vector), Some(rating), "{vector}");
        }
        for (vector, rating) in [
            ("AV:N/AC:L/Au:N/C:N/I:N/A:C", "high"),
            ("AV:L/AC:H/Au:N/C:C/I:C/A:C", "medium"),
            ("AV:L/AC:L/Au:N/C:P/I:N/A:N", "low"),
        ] {
            assert_eq!(rating_v2(vector), Some(rating), "{vector}");
        }
        for bad in ["", "CVSS:3.1/", "CVSS:3.1/AV:X/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "CVSS:4.0/AV:N"] {
            assert_eq!((rating_v3(bad), rating_v2(bad)), (None, None), "{bad}");
        }
    }

    #[test]
    fn the_word_of_the_database_counts_before_vectors() {
        let vector = json!([{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]);
        let of = |entry: Value| of_entry(&entry, &[&entry["affected"][0]]);
        assert_eq!(
            of(json!({"database_specific": {"severity": "MODERATE"}, "severity": vector})).as_deref(),
            Some("medium")
        );
        assert_eq!(of(json!({"affected": [{"severity": vector}]})).as_deref(), Some("critical"));
        assert_eq!(of(json!({"severity": [{"type": "Ubuntu", "score": "High"}]})).as_deref(), Some("high"));
        assert_eq!(of(json!({"severity": [{"score": "CVSS:4.0/AV:N"}]})).as_deref(), Some("CVSS:4.0/AV:N"));
        assert_eq!(of(json!({"severity": 1, "database_specific": []})), None);
    }
}
