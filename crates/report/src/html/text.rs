//! Text and tables as HTML.

use crate::figure::signed;
use crate::scores::Score;

/// Text as HTML, safe in elements and in quoted attributes.
pub(super) fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, c| {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            c => escaped.push(c),
        }
        escaped
    })
}

/// `0.617` as `61.7 %`.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// A gain in percentage points with its sign.
pub(super) fn points(gain: f64) -> String {
    let plus = if gain > 0.0 { "+" } else { "" };
    format!("{plus}{}", signed(gain, 1))
}

/// A table with a caption; its first column and its head name what its cells hold.
pub(super) struct Table<'a> {
    /// What it shows.
    pub(super) caption: &'a str,
    /// The names of its columns, the first one's included. A table of names and values has none.
    pub(super) heads: Vec<String>,
    pub(super) rows: Vec<Row>,
}

/// One row of a [`Table`].
pub(super) struct Row {
    /// `own` for the run itself, `floor` for what it is compared with, or nothing.
    pub(super) class: &'static str,
    /// What it is called.
    pub(super) head: String,
    pub(super) cells: Vec<Cell>,
}

/// One value in a table.
pub(super) enum Cell {
    Text(String),
    /// A piece of code, which is set to the left.
    Code(String),
    /// A number, written with so many decimals and a unit behind it, and its interval.
    Score {
        score: Score,
        decimals: usize,
        unit: &'static str,
    },
    /// A count of a row's images, shaded by its share of them; `own` where it should be all.
    Share {
        count: u64,
        share: f64,
        own: bool,
    },
    /// There is no value.
    Absent,
}

impl Row {
    /// A row of a table of names and values.
    pub(super) fn pair(head: impl Into<String>, value: impl Into<String>) -> Self {
        Self { class: "", head: head.into(), cells: vec![Cell::Text(value.into())] }
    }

    fn html(&self) -> String {
        let cells: String = self.cells.iter().map(Cell::html).collect();
        let class = match self.class {
            "" => String::new(),
            class => format!(" class=\"{class}\""),
        };
        format!("<tr{class}><th scope=\"row\">{}</th>{cells}</tr>\n", escape(&self.head))
    }
}

impl Cell {
    fn html(&self) -> String {
        match self {
            Self::Text(text) => format!("<td>{}</td>", escape(text)),
            Self::Code(code) => format!("<td class=\"code\"><code>{}</code></td>", escape(code)),
            Self::Share { count, share, own } => {
                let class = if *own { "right" } else { "wrong" };
                format!("<td class=\"share {class}\" style=\"--share:{share:.3}\">{count}</td>")
            }
            Self::Absent => "<td>\u{2013}</td>".to_owned(),
            Self::Score { score, decimals, unit } => {
                let number = |value| signed(value, *decimals);
                let interval = score.interval.map_or_else(String::new, |[low, high]| {
                    format!(" <small>{} to {}</small>", number(low), number(high))
                });
                format!("<td>{}{unit}{interval}</td>", number(score.value))
            }
        }
    }
}

impl Table<'_> {
    /// The table in a card, which can be scrolled where it is too wide, by keys too. Nothing where there are no rows.
    pub(super) fn html(&self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let heads: String = self
            .heads
            .iter()
            .map(|head| format!("<th scope=\"col\">{}</th>", escape(head)))
            .collect();
        let head = match self.heads.is_empty() {
            true => String::new(),
            false => format!("<thead><tr>{heads}</tr></thead>\n"),
        };
        let rows: String = self.rows.iter().map(Row::html).collect();
        let caption = escape(self.caption);
        format!(
            "<div class=\"card\" role=\"region\" aria-label=\"{caption}\" tabindex=\"0\"><table>\n\
             <caption><span>{caption}</span></caption>\n{head}<tbody>\n{rows}</tbody></table></div>\n"
        )
    }
}
