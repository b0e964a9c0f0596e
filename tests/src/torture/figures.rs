//! What a check has to show for itself.

use serde_json::{Value, json};

/// What a figure has to reach.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Bar {
    /// None: it tells how much was done.
    Told,
    /// Exactly this.
    Is(f64),
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
}

/// A number with a name, and whether it is good enough.
#[derive(Clone, PartialEq, Debug)]
pub struct Figure {
    /// What was counted or measured, in a few words.
    pub name: String,
    /// The number.
    pub value: f64,
    /// What it is counted in; empty for plain counts.
    pub unit: &'static str,
    /// What it has to reach.
    pub bar: Bar,
}

/// The result of a check.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Figures {
    figures: Vec<Figure>,
    remarks: Vec<String>,
}

impl Bar {
    /// Whether `value` reaches it.
    pub fn holds(self, value: f64) -> bool {
        match self {
            Bar::Told => true,
            // Counts below 2^53 are exact.
            Bar::Is(bar) => (value - bar).abs() < f64::EPSILON,
            Bar::AtMost(bar) => value <= bar,
            Bar::AtLeast(bar) => value >= bar,
        }
    }

    /// The bar as it stands in a table, such as `>= 20,000`.
    pub fn words(self) -> String {
        match self {
            Bar::Told => String::new(),
            Bar::Is(bar) => number(bar),
            Bar::AtMost(bar) => format!("<= {}", number(bar)),
            Bar::AtLeast(bar) => format!(">= {}", number(bar)),
        }
    }
}

impl Figure {
    /// Whether the figure reaches its bar.
    pub fn holds(&self) -> bool {
        self.bar.holds(self.value)
    }

    /// The number as it stands in a table.
    pub fn words(&self) -> String {
        match self.unit {
            "" => number(self.value),
            unit => format!("{} {unit}", number(self.value)),
        }
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "bar": self.bar.words(),
            "holds": self.holds(),
        })
    }
}

impl Figures {
    /// Adds a figure.
    pub fn add(&mut self, name: impl Into<String>, value: f64, unit: &'static str, bar: Bar) {
        self.figures.push(Figure { name: name.into(), value, unit, bar });
    }

    /// Adds a count that tells how much was done.
    pub fn told(&mut self, name: impl Into<String>, count: u64) {
        self.add(name, count as f64, "", Bar::Told);
    }

    /// Adds a count of what must never happen.
    pub fn zero(&mut self, name: impl Into<String>, count: u64) {
        self.add(name, count as f64, "", Bar::Is(0.0));
    }

    /// Adds a count that has to reach `bar`: a check that did little says so by itself.
    pub fn at_least(&mut self, name: impl Into<String>, count: u64, bar: u64) {
        self.add(name, count as f64, "", Bar::AtLeast(bar as f64));
    }

    /// Adds a line that helps to find again what was found: a seed, an ordinal, a file.
    pub fn remark(&mut self, line: impl Into<String>) {
        self.remarks.push(line.into());
    }

    /// Adds such lines.
    pub fn remark_all(&mut self, lines: impl IntoIterator<Item = impl Into<String>>) {
        self.remarks.extend(lines.into_iter().map(Into::into));
    }

    /// All figures, in the order in which they were added.
    pub fn iter(&self) -> std::slice::Iter<'_, Figure> {
        self.figures.iter()
    }

    /// All remarks.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// Whether every figure reaches its bar.
    pub fn hold(&self) -> bool {
        self.figures.iter().all(Figure::holds)
    }

    pub(super) fn json(&self) -> Value {
        self.figures.iter().map(Figure::json).collect()
    }
}

impl<'a> IntoIterator for &'a Figures {
    type Item = &'a Figure;
    type IntoIter = std::slice::Iter<'a, Figure>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A number for a person: whole ones with commas, others with as many decimals as help.
fn number(value: f64) -> String {
    if value.fract() != 0.0 {
        let decimals = if value.abs() < 10.0 { 3 } else { 1 };
        return format!("{value:.decimals$}");
    }
    let digits = format!("{value:.0}");
    let mut words = String::new();
    for (position, digit) in digits.chars().enumerate() {
        let left = digits.len() - position;
        if position > 0 && left.is_multiple_of(3) && !words.ends_with('-') {
            words.push(',');
        }
        words.push(digit);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        let all = [0.0, 999.0, 1000.0, 1_234_567.0, -1000.0, 0.25, 12.34].map(number);
        assert_eq!(all, ["0", "999", "1,000", "1,234,567", "-1,000", "0.250", "12.3"]);
    }

    #[test]
    fn figures_hold_only_if_each_reaches_its_bar() {
        let mut figures = Figures::default();
        figures.told("cycles", 7);
        figures.zero("lost", 0);
        figures.at_least("kills", 10, 10);
        figures.add("resume", 0.9, "s", Bar::AtMost(1.0));
        assert!(figures.hold());
        figures.zero("reordered", 1);
        assert!(!figures.hold());
        let missed: Vec<_> = figures.iter().filter(|figure| !figure.holds()).collect();
        assert_eq!(missed[0].name, "reordered");
    }
}
