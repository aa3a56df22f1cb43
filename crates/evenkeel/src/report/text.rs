//! How are numbers and foreign text written in the page?

/// Text that stays text inside HTML, attributes and Plotly's labels.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// Escaped text with the symbol λ_max set as one.
pub(crate) fn marked(escaped: &str) -> String {
    escaped.replace("λ_max", "λ<sub>max</sub>")
}

/// Plain text as HTML, with code between backquotes and the symbol λ_max set as one.
pub(crate) fn prose(text: &str) -> String {
    let mut html = String::new();
    for (index, part) in escape(text).split('`').enumerate() {
        if index % 2 == 1 {
            html += &format!("<code>{part}</code>");
        } else {
            html += part;
        }
    }
    marked(&html)
}

/// A number with `digits` significant digits; powers of ten for the very large and small.
pub(crate) fn significant(number: f64, digits: usize) -> String {
    if !number.is_finite() {
        return if number.is_nan() { "NaN".to_owned() } else { if number > 0.0 { "∞" } else { "−∞" }.to_owned() };
    }
    if number == 0.0 {
        return "0".to_owned();
    }
    // The exponent after rounding, so that 9.9996 with 4 digits is 10.00.
    let rounded = format!("{:.*e}", digits.saturating_sub(1), number.abs());
    let (mantissa, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if number < 0.0 { "−" } else { "" };
    if !(-4..7).contains(&exponent) {
        return format!("{sign}{mantissa}e{exponent}").replace("e-", "e−");
    }
    let decimals = usize::try_from(digits as i32 - 1 - exponent).unwrap_or(0);
    let plain = format!("{:.decimals$}", number.abs());
    match plain.split_once('.') {
        Some((whole, fraction)) => format!("{sign}{}.{fraction}", grouped(whole)),
        None => format!("{sign}{}", grouped(&plain)),
    }
}

/// A number that somebody chose, e.g. a learning rate: at most 4 significant digits, without zeros at the end.
pub(crate) fn chosen(number: f64) -> String {
    let text = significant(number, 4);
    let (digits, power) = text.split_at(text.find('e').unwrap_or(text.len()));
    let digits = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    format!("{digits}{power}")
}

/// A whole number in groups of three: `101,770`.
pub(crate) fn integer(number: u64) -> String {
    grouped(&number.to_string())
}

fn grouped(digits: &str) -> String {
    let mut result = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            result.push(',');
        }
        result.push(digit);
    }
    result
}

/// A fraction as `97.2 %`.
pub(crate) fn percent(fraction: f64) -> String {
    if fraction.is_finite() { format!("{:.1}\u{a0}%", 100.0 * fraction) } else { significant(fraction, 3) }
}

/// A length of time as `0.42 s`, `38.1 s`, `4 min 05 s` or `2 h 13 min`.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 60.0 {
        return format!("{}\u{a0}s", significant(seconds, if seconds < 1.0 { 2 } else { 3 }));
    }
    let whole = seconds.round() as u64;
    if whole < 3600 {
        format!("{}\u{a0}min\u{a0}{:02}\u{a0}s", whole / 60, whole % 60)
    } else {
        format!("{}\u{a0}h\u{a0}{:02}\u{a0}min", integer(whole / 3600), whole % 3600 / 60)
    }
}

/// How normalisation layers took their statistics, in words.
pub(crate) fn norm_mode(mode: &str) -> String {
    match mode {
        "batch" => "batch statistics".to_owned(),
        "running" => "running statistics".to_owned(),
        "frozen" => "frozen statistics".to_owned(),
        "none" => "no normalisation".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits_and_their_size_is_plain() {
        let written = |number| significant(number, 4);
        assert_eq!(
            [0.0, 9.99996, 19.5, 0.012346, 123456.0, 1.5e9, -2.5e-7, f64::NAN].map(written),
            ["0", "10.00", "19.50", "0.01235", "123,456", "1.500e9", "−2.500e−7", "NaN"]
        );
        assert_eq!([0.1, 0.002, 3.0, 1e-5].map(chosen), ["0.1", "0.002", "3", "1e−5"]);
        assert_eq!([1, 999, 1000, 101_770].map(integer), ["1", "999", "1,000", "101,770"]);
    }

    #[test]
    fn times_name_their_units() {
        assert_eq!(
            [0.042, 7.5, 245.2, 7980.0].map(duration),
            ["0.042\u{a0}s", "7.50\u{a0}s", "4\u{a0}min\u{a0}05\u{a0}s", "2\u{a0}h\u{a0}13\u{a0}min"]
        );
    }

    #[test]
    fn foreign_text_cannot_leave_its_place() {
        assert_eq!(escape("</script><b a='\"&"), "&lt;/script&gt;&lt;b a=&#39;&quot;&amp;");
    }
}
