//! Columns as Docker prints them: padded to the widest cell, three spaces apart.

use rustix::stdio::stdout;
use rustix::termios::isatty;

/// Prints a header and rows of as many cells.
pub(crate) fn print(header: &[&str], rows: &[Vec<String>]) {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.len()).collect();
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| crate::error::printable(cell)).collect()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    if isatty(stdout()) {
        fit(&mut widths, usize::from(crate::terminal::size().1));
    }
    let header: Vec<String> = header.iter().map(|&cell| cell.to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&header).chain(&rows) {
        let last = row.len().saturating_sub(1);
        for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let cell = cut(cell, *width);
            if index == last {
                text.push_str(&cell);
            } else {
                text.push_str(&format!("{cell:width$}   "));
            }
        }
        text.push('\n');
    }
    out(&text);
}

/// Columns narrower than this say nothing any more.
const LEAST: usize = 6;
const GAP: usize = 3;

/// Takes from the widest columns what a terminal of `columns` has no room for; 0: nobody knows.
fn fit(widths: &mut [usize], columns: usize) {
    let room = columns.saturating_sub(GAP * widths.len().saturating_sub(1));
    while columns > 0 && widths.iter().sum::<usize>() > room {
        let Some(widest) = widths.iter_mut().max_by_key(|width| **width).filter(|width| **width > LEAST) else {
            return;
        };
        *widest -= 1;
    }
}

/// A cell that is too long ends in a mark.
fn cut(cell: &str, width: usize) -> String {
    if cell.chars().count() <= width {
        return cell.to_owned();
    }
    cell.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Prints text; a reader that has gone away (`| head`) ends the program quietly, as it does others.
pub(crate) fn out(text: &str) {
    use std::io::Write;
    if std::io::stdout().lock().write_all(text.as_bytes()).is_err() {
        std::process::exit(141);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_fit_as_far_as_they_can() {
        let fitted = |widths: &[usize], columns| {
            let mut widths = widths.to_vec();
            super::fit(&mut widths, columns);
            widths
        };
        assert_eq!(fitted(&[12, 40, 20], 0), [12, 40, 20]);
        assert_eq!(fitted(&[12, 40, 20], 100), [12, 40, 20]);
        assert_eq!(fitted(&[12, 40, 20], 58).iter().sum::<usize>(), 52);
        assert_eq!(fitted(&[12, 40, 20], 5), [6, 6, 6]);
        assert_eq!((super::cut("abcdef", 4).as_str(), super::cut("abc", 4).as_str()), ("abc…", "abc"));
    }
}
