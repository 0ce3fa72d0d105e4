//! The values of a column chunk, one for each row.

use std::sync::Arc;

use super::footer::{Chunk, Column, ValueKind};
use super::hybrid::Hybrid;
use super::page::{Encoding, Head, Heads, Page, PageKind};
use super::source::{Fault, Outcome, Source};
use crate::sharded::Written;

/// The length of the levels, before them in a page of the first version.
const LENGTH_BYTES: usize = 4;

/// Values that are written one after the other.
pub(super) trait Plain: Clone {
    /// The first `count` values in `contents`, those of `page`, from byte `from` on; none if there are
    /// not as many. No memory is reserved for what is not there.
    fn read(page: &Page<'_>, contents: &[u8], from: usize, count: usize) -> Option<Vec<Self>>;
}

impl Plain for i32 {
    fn read(_: &Page<'_>, contents: &[u8], from: usize, count: usize) -> Option<Vec<Self>> {
        numbers(contents, from, count, i32::from_le_bytes)
    }
}

impl Plain for i64 {
    fn read(_: &Page<'_>, contents: &[u8], from: usize, count: usize) -> Option<Vec<Self>> {
        numbers(contents, from, count, i64::from_le_bytes)
    }
}

impl Plain for f32 {
    fn read(_: &Page<'_>, contents: &[u8], from: usize, count: usize) -> Option<Vec<Self>> {
        numbers(contents, from, count, f32::from_le_bytes)
    }
}

impl Plain for f64 {
    fn read(_: &Page<'_>, contents: &[u8], from: usize, count: usize) -> Option<Vec<Self>> {
        numbers(contents, from, count, f64::from_le_bytes)
    }
}

impl Plain for bool {
    fn read(_: &Page<'_>, contents: &[u8], from: usize, count: usize) -> Option<Vec<Self>> {
        let bytes = contents.get(from..)?.get(..count.div_ceil(8))?;
        Some((0..count).map(|at| bytes[at / 8] >> (at % 8) & 1 == 1).collect())
    }
}

impl Plain for Arc<str> {
    fn read(_: &Page<'_>, contents: &[u8], from: usize, count: usize) -> Option<Vec<Self>> {
        let mut texts = Vec::new();
        let mut rest = contents.get(from..)?;
        for _ in 0..count {
            let (length, behind) = rest.split_first_chunk::<LENGTH_BYTES>()?;
            let (text, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            texts.push(String::from_utf8_lossy(text).into());
            rest = behind;
        }
        Some(texts)
    }
}

fn numbers<T, const N: usize>(
    contents: &[u8],
    from: usize,
    count: usize,
    number: fn([u8; N]) -> T,
) -> Option<Vec<T>> {
    let (numbers, _) = contents.get(from..)?.as_chunks();
    Some(numbers.get(..count)?.iter().map(|bytes| number(*bytes)).collect())
}

/// Which rows of a chunk are in which of its pages.
#[derive(Debug)]
pub(super) struct Layout {
    /// The page of values that others refer to.
    pub dictionary: Option<Head>,
    /// The others, in their order.
    pub pages: Vec<Rows>,
}

/// A page of values for these rows of its chunk.
#[derive(Debug)]
pub(super) struct Rows {
    /// The first row after them.
    pub end: usize,
    /// The page.
    pub head: Head,
}

impl Layout {
    /// Looks through the heads of the pages in `chunk`, which has this many `rows`.
    ///
    /// # Errors
    /// When they make no sense, do not hold one value a row, or are written in a way not read here.
    pub(super) fn of(
        source: &dyn Source,
        chunk: &Chunk,
        column: &Column,
        rows: usize,
    ) -> Outcome<Self> {
        let mut dictionary = None;
        let mut pages = Vec::new();
        let mut end = 0;
        for head in Heads::of(source, chunk)? {
            let head = head?;
            match head.kind {
                PageKind::V1(Encoding::Other(number))
                | PageKind::V2(Encoding::Other(number), _) => {
                    return Err(unknown(column, number));
                }
                PageKind::Dictionary => dictionary = Some(head),
                _ => {
                    end += head.values;
                    pages.push(Rows { end, head });
                }
            }
            if end > rows {
                break;
            }
        }
        match end == rows {
            true => Ok(Self { dictionary, pages }),
            false => Err(Fault::damaged(format!(
                "{} has {end} values or more in a row group of {rows} rows",
                column.name()
            ))),
        }
    }

    /// The values in the dictionary; none at all where there is no dictionary.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn dictionary<T: Plain>(
        &self,
        source: &dyn Source,
        column: &Column,
    ) -> Outcome<Vec<T>> {
        let Some(head) = &self.dictionary else { return Ok(Vec::new()) };
        let page = head.page(source)?;
        let values = T::read(&page, &page.contents()?, 0, head.values);
        values.ok_or_else(|| senseless(column, head))
    }
}

/// The values in the page of `head`, one for each of its rows; none where it is null.
///
/// # Errors
/// When they cannot be read, or are not in the `dictionary`.
pub(super) fn values<T: Plain>(
    source: &dyn Source,
    head: &Head,
    column: &Column,
    dictionary: &[T],
) -> Outcome<Vec<Option<T>>> {
    let page = head.page(source)?;
    let contents = page.contents()?;
    data(&page, &contents, column, dictionary).ok_or_else(|| senseless(column, head))
}

/// A label, if there is one, or what is wrong with it.
pub(super) type LabelFound = Result<Option<Written>, String>;

/// All labels in `chunk`, one for each of `rows`; none where it is null.
///
/// # Errors
/// As [`Layout::of`] and [`values`].
pub(super) fn labels(
    source: &dyn Source,
    chunk: &Chunk,
    column: &Column,
    rows: usize,
) -> Outcome<Vec<LabelFound>> {
    fn each<T: Plain>(
        source: &dyn Source,
        layout: &Layout,
        column: &Column,
        label: impl Fn(T) -> LabelFound,
    ) -> Outcome<Vec<LabelFound>> {
        let values = all_values(source, layout, column)?.into_iter();
        Ok(values.map(|value| value.map_or(Ok(None), &label)).collect())
    }
    let layout = &Layout::of(source, chunk, column, rows)?;
    match column.kind {
        Some(ValueKind::Boolean) => {
            each(source, layout, column, |value: bool| Written::number(value.into()))
        }
        Some(ValueKind::Int32) => {
            each(source, layout, column, |value: i32| Written::number(value.into()))
        }
        Some(ValueKind::Float) => {
            each(source, layout, column, |value: f32| Written::float(value.into()))
        }
        Some(ValueKind::Double) => each(source, layout, column, Written::float),
        Some(ValueKind::Text | ValueKind::Bytes) => {
            each(source, layout, column, |value: Arc<str>| Written::text(&value))
        }
        Some(ValueKind::Int64) | None => each(source, layout, column, Written::number),
    }
}

fn all_values<T: Plain>(
    source: &dyn Source,
    layout: &Layout,
    column: &Column,
) -> Outcome<Vec<Option<T>>> {
    let dictionary = layout.dictionary(source, column)?;
    let mut all = Vec::new();
    for Rows { head, .. } in &layout.pages {
        all.append(&mut values(source, head, column, &dictionary)?);
    }
    Ok(all)
}

/// The values in `contents`, those of `page`; none if they are not there.
fn data<T: Plain>(
    page: &Page<'_>,
    contents: &[u8],
    column: &Column,
    dictionary: &[T],
) -> Option<Vec<Option<T>>> {
    let (present, from) = presence(page.head, contents, column)?;
    let count = present.iter().filter(|present| **present).count();
    let values = match &page.head.kind {
        PageKind::V1(Encoding::Dictionary) | PageKind::V2(Encoding::Dictionary, _) => {
            look_up(dictionary, contents.get(from..)?, count)?
        }
        _ => T::read(page, contents, from, count)?,
    };
    let mut values = values.into_iter();
    let value = |present| if present { values.next() } else { None };
    Some(present.into_iter().map(value).collect())
}

/// The first `count` values that the numbers in `bytes` stand for in the `dictionary`.
fn look_up<T: Clone>(dictionary: &[T], bytes: &[u8], count: usize) -> Option<Vec<T>> {
    let Some((bits, numbers)) = bytes.split_first() else {
        return (count == 0).then(Vec::new);
    };
    let numbers = Hybrid::new(numbers, *bits).take(count);
    let values: Vec<T> =
        numbers.map(|number| dictionary.get(number as usize).cloned()).collect::<Option<_>>()?;
    (values.len() == count).then_some(values)
}

/// Which values of a page are not null, and where in its `contents` they begin.
fn presence(head: &Head, contents: &[u8], column: &Column) -> Option<(Vec<bool>, usize)> {
    let (levels, from) = match &head.kind {
        PageKind::V2(_, levels) => (contents.get(levels.clone())?, levels.end),
        _ if column.most_level == 0 => (&[][..], 0),
        _ => {
            let (length, rest) = contents.split_first_chunk::<LENGTH_BYTES>()?;
            let length = u32::from_le_bytes(*length) as usize;
            (rest.get(..length)?, LENGTH_BYTES + length)
        }
    };
    if column.most_level == 0 {
        return Some((vec![true; head.values], from));
    }
    let bits = u32::BITS - column.most_level.leading_zeros();
    let levels = Hybrid::new(levels, bits as u8).take(head.values);
    let present: Vec<bool> = levels.map(|level| level == column.most_level).collect();
    (present.len() == head.values).then_some((present, from))
}

fn senseless(column: &Column, head: &Head) -> Fault {
    let (column, at) = (column.name(), head.range.start);
    Fault::damaged(format!("the page of {column} at byte {at} does not hold what it claims to"))
}

fn unknown(column: &Column, encoding: i64) -> Fault {
    let column = column.name();
    Fault::Wrong(format!(
        "has its column {column} in encoding {encoding} of the format, and only plain values and those \
         in a dictionary can be read here; write the file again with pyarrow or `datasets`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parquet::fixture::{PLAIN, rows};
    use crate::parquet::footer::Footer;

    fn column(most_level: u32) -> Column {
        let path = vec!["label".into()];
        Column { path, kind: Some(ValueKind::Int32), most_level, is_repeated: false }
    }

    /// What a page of `values` with this `body` is read as, where 10 and 20 are in the dictionary.
    fn read(
        encoding: Encoding,
        count: usize,
        body: &[u8],
        most_level: u32,
    ) -> Result<Vec<Option<i32>>, String> {
        let head = Head::bare(PageKind::V1(encoding), count, body.len());
        values(&body, &head, &column(most_level), &[10, 20]).map_err(|fault| match fault {
            Fault::Wrong(message) => message,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn numbers_of_a_dictionary_and_plain_ones_are_read() {
        // One bit each, in a run of two and a group of eight.
        assert_eq!(
            read(Encoding::Dictionary, 4, &[1, 4, 1, 3, 0b10], 0),
            Ok([20, 20, 10, 20].map(Some).to_vec())
        );
        assert_eq!(read(Encoding::Plain, 1, &[7, 0, 0, 0, 9], 0), Ok(vec![Some(7)]));
        let levels = [3, 0, 0, 0, 2 << 1, 0, 0];
        assert_eq!(read(Encoding::Plain, 2, &levels, 1), Ok(vec![None, None]));
        let levels = [2, 0, 0, 0, 3, 0b01, 5, 0, 0, 0];
        assert_eq!(read(Encoding::Plain, 2, &levels, 1), Ok(vec![Some(5), None]));
    }

    #[test]
    fn pages_that_lie_are_refused() {
        let (plain, dictionary) = (Encoding::Plain, Encoding::Dictionary);
        for (encoding, count, body, most_level) in [
            (plain, 2, &[7, 0, 0, 0, 9, 0, 0][..], 0),
            (plain, 1, &[], 0),
            (dictionary, 1, &[], 0),
            (dictionary, 4, &[1, 4, 1], 0),
            (dictionary, 1, &[2, 2, 2], 0),
            (plain, 1, &[0xff, 0xff, 0xff, 0xff, 1, 2], 1),
            (plain, 2, &[2, 0, 0, 0, 1 << 1, 1], 1),
        ] {
            let message = read(encoding, count, body, most_level).unwrap_err();
            assert!(message.contains("the page of label at byte 0 does not hold"), "{message}");
        }
    }

    #[test]
    fn a_chunk_has_as_many_values_as_its_group_has_rows() {
        let file = PLAIN.write(&rows(7), &[]);
        let footer = Footer::read(&&file[..]).unwrap();
        let numbers =
            |count| labels(&&file[..], &footer.groups[0].chunks[2], &footer.columns[2], count);
        let expected = [Some(0), Some(1), Some(2), Some(0), None, Some(2), Some(0)];
        let expected = expected.map(|number| number.map_or(Ok(None), Written::number));
        assert_eq!(numbers(7).unwrap(), expected);
        for (count, found) in [(0, 3), (5, 6), (6, 7), (8, 7), (usize::MAX, 7)] {
            let Fault::Wrong(message) = numbers(count).unwrap_err() else { panic!("{count}") };
            let expected =
                format!("label has {found} values or more in a row group of {count} rows");
            assert!(message.contains(&expected), "{message}");
        }
    }
}
