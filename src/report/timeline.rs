//! Shows the last start of services: the dependencies that were waited for, and the slowest path. Pure: from
//! times to text.

use crate::report::table;

/// One service or job that was started. Times are seconds since the supervisor started.
#[derive(Debug, Clone, Default)]
pub struct TimelineBar {
    pub name: String,
    /// The environment of the instance.
    pub environment: String,
    /// The environments it depends on.
    pub depends: Vec<String>,
    /// When all its dependencies were ready.
    pub began: f64,
    /// When its process was started; `None` if there was none, as for a job that was done before.
    pub started: Option<f64>,
    pub ready: Option<f64>,
}

/// A service that continues within this many seconds of its dependency's readiness has waited for it.
const AT_ONCE: f64 = 0.1;
/// The minimum and maximum width of the chart.
const DRAWING: std::ops::RangeInclusive<usize> = 10..=60;
const HEAD: [&str; 5] = ["NAME", "WAITED FOR", "BEGAN", "READY", "TOOK"];

/// The last start of `bars` as a table with a chart in lines of `width` characters.
pub fn draw(bars: &[TimelineBar], width: usize) -> String {
    let Some(path) = critical_path(bars) else { return "nothing has been started yet\n".to_owned() };
    let (Some(first), Some(last)) = (path.first(), path.last()) else { return String::new() };
    let zero = beginning(bars, first);
    let mut shown: Vec<&TimelineBar> = bars.iter().filter(|bar| bar.began >= zero).collect();
    shown.sort_by(|one, other| one.began.total_cmp(&other.began).then_with(|| one.name.cmp(&other.name)));
    let end = shown.iter().map(|bar| bar.end()).fold(zero, f64::max);
    let rows: Vec<Vec<String>> = shown.iter().map(|bar| row(bar, bars, zero)).collect();
    let table = table::format_table(&HEAD, &rows);
    let left = table.lines().map(|line| line.chars().count()).max().unwrap_or(0) + 2;
    let drawing = width.saturating_sub(left).clamp(*DRAWING.start(), *DRAWING.end());
    let scale = TimelineScale { zero, seconds: end - zero, width: drawing };
    let mut lines = table.lines();
    let mut text = format!("{:left$}{}\n", lines.next().unwrap_or_default(), scale.head());
    for (line, bar) in lines.zip(&shown) {
        text.push_str(&format!("{line:left$}{}\n", scale.line(bar)));
    }
    let steps: Vec<String> =
        path.iter().map(|bar| format!("{} {}", bar.name, seconds(bar.end() - bar.began))).collect();
    text.push_str(&format!("critical path: {} = {}\n", steps.join(" → "), seconds(last.end() - first.began)));
    text.push_str("░ being prepared  █ started and not yet ready\n");
    let before = bars.len() - shown.len();
    if before > 0 {
        text.push_str(&format!("{before} more started earlier\n"));
    }
    text
}

impl TimelineBar {
    /// When it was ready, or the last known time.
    fn end(&self) -> f64 {
        self.ready.or(self.started).unwrap_or(self.began)
    }

    /// The dependency that was ready last, if it was waited for.
    fn waited_for<'bars>(&self, bars: &'bars [Self]) -> Option<&'bars Self> {
        let needed = |other: &&Self| self.depends.iter().any(|name| *name == other.name || *name == other.environment);
        let ready = bars.iter().filter(needed).filter(|other| other.ready.is_some_and(|ready| ready <= self.began));
        let last = ready.max_by(|one, other| one.end().total_cmp(&other.end()))?;
        (self.began - last.end() <= AT_ONCE).then_some(last)
    }
}

/// From the first that began to the last that was ready, each having waited for the one before.
fn critical_path(bars: &[TimelineBar]) -> Option<Vec<&TimelineBar>> {
    let mut one = bars.iter().max_by(|one, other| one.end().total_cmp(&other.end()))?;
    let mut path = vec![one];
    // A dependent began later, so this ends; the limit is for clocks that were changed.
    while let Some(before) = one.waited_for(bars).filter(|_| path.len() < bars.len()) {
        path.insert(0, before);
        one = before;
    }
    Some(path)
}

/// The beginning of the start that this one belongs to: others may have begun slightly earlier, in any order.
fn beginning(bars: &[TimelineBar], one: &TimelineBar) -> f64 {
    let mut zero = one.began;
    let earlier = |zero: f64| {
        let of_it = bars.iter().filter(|bar| bar.began < zero && bar.end() + AT_ONCE >= zero);
        of_it.map(|bar| bar.began).min_by(f64::total_cmp)
    };
    while let Some(moment) = earlier(zero) {
        zero = moment;
    }
    zero
}

fn row(bar: &TimelineBar, bars: &[TimelineBar], zero: f64) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    vec![
        bar.name.clone(),
        or_dash(bar.waited_for(bars).map(|other| other.name.clone())),
        seconds(bar.began - zero),
        or_dash(bar.ready.map(|ready| seconds(ready - zero))),
        or_dash(bar.ready.map(|ready| seconds(ready - bar.began))),
    ]
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.2} s")
}

/// Maps times to columns of the chart.
struct TimelineScale {
    zero: f64,
    seconds: f64,
    width: usize,
}

impl TimelineScale {
    fn column(&self, moment: f64) -> usize {
        if self.seconds <= 0.0 {
            return 0;
        }
        ((moment - self.zero) / self.seconds * self.width as f64).round().clamp(0.0, self.width as f64) as usize
    }

    fn head(&self) -> String {
        let end = seconds(self.seconds);
        format!("0{end:>width$}", width = self.width.saturating_sub(1))
    }

    fn line(&self, bar: &TimelineBar) -> String {
        let (began, end) = (self.column(bar.began), self.column(bar.end()));
        let started = bar.started.map_or(end, |started| self.column(started)).min(end);
        let drawn =
            format!("{}{}{}", " ".repeat(began), "░".repeat(started - began.min(started)), "█".repeat(end - started));
        // Even a very short time is visible.
        if end == began { format!("{}▏", " ".repeat(began.min(self.width - 1))) } else { drawn }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(name: &str, depends: &[&str], (began, started, ready): (f64, f64, f64)) -> TimelineBar {
        TimelineBar {
            name: name.to_owned(),
            environment: name.to_owned(),
            depends: depends.iter().map(|name| (*name).to_owned()).collect(),
            began,
            started: Some(started),
            ready: Some(ready),
        }
    }

    #[test]
    fn the_last_start_is_drawn_with_its_critical_path() {
        let bars = [
            bar("api", &["db", "cache"], (2.0, 2.5, 3.0)),
            bar("db", &[], (1.0, 1.0, 2.0)),
            bar("cache", &[], (1.0, 1.0, 1.5)),
        ];
        assert_eq!(
            draw(&bars, 59),
            "\
NAME   WAITED FOR  BEGAN   READY   TOOK    0         2.00 s
cache  -           0.00 s  0.50 s  0.50 s  ████
db     -           0.00 s  1.00 s  1.00 s  ████████
api    db          1.00 s  2.00 s  1.00 s          ░░░░████
critical path: db 1.00 s → api 1.00 s = 2.00 s
░ being prepared  █ started and not yet ready
"
        );
    }

    #[test]
    fn services_started_earlier_are_only_counted() {
        let bars = [bar("db", &[], (0.0, 0.1, 0.5)), bar("api", &["db"], (60.0, 60.0, 61.0))];
        let text = draw(&bars, 80);
        assert!(text.contains("critical path: api 1.00 s = 1.00 s\n"), "{text}");
        assert!(text.ends_with("1 more started earlier\n"), "{text}");
        assert!(!text.contains("\ndb"), "{text}");
    }

    #[test]
    fn a_slightly_earlier_beginning_is_of_the_same_start() {
        let bars = [
            bar("old", &[], (0.0, 0.1, 0.5)),
            bar("quick", &[], (60.000_1, 60.0, 60.1)),
            bar("done", &[], (60.0, 60.0, 60.0)),
            bar("slow", &["old"], (60.000_2, 60.1, 61.0)),
        ];
        let text = draw(&bars, 80);
        assert!(text.contains("critical path: slow 1.00 s = 1.00 s\n"), "{text}");
        assert!(text.contains("\nquick ") && text.contains("\ndone ") && !text.contains("\nold "), "{text}");
        assert!(text.ends_with("1 more started earlier\n"), "{text}");
    }

    #[test]
    fn nothing_and_moments_that_make_no_sense_are_drawn_too() {
        assert_eq!(draw(&[], 80), "nothing has been started yet\n");
        let odd =
            [bar("a", &["b"], (2.0, 1.0, 0.0)), bar("b", &["a"], (2.0, 9.0, 2.0)), bar("c", &["c"], (1.0, 1.0, 1.0))];
        for width in [0, 1, 80, 500] {
            assert!(draw(&odd, width).contains("critical path: "));
        }
    }
}
