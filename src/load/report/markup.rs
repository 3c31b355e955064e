//! core: text inside markup
//! Law:   whatever a text holds, it stays text: no tag, attribute or entity of its own, and nothing that HTML or XML forbids.

/// Ready to stand between tags or inside a quoted attribute.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter if letter.is_control() => safe.push(' '),
            letter => safe.push(letter),
        }
    }
    safe
}

/// A table: its headings, and rows whose first cell heads them. All escaped here.
pub fn table(caption: &str, heads: &[String], rows: &[Vec<String>]) -> String {
    let heads: String = heads.iter().map(|head| format!("<th scope=\"col\">{}</th>", escape(head))).collect();
    let row = |cells: &Vec<String>| {
        let cell = |(place, cell): (usize, &String)| match place {
            0 => format!("<th scope=\"row\">{}</th>", escape(cell)),
            _ => format!("<td>{}</td>", escape(cell)),
        };
        format!("<tr>{}</tr>\n", cells.iter().enumerate().map(cell).collect::<String>())
    };
    let rows: String = rows.iter().map(row).collect();
    format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><table><caption>{0}</caption>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n",
        escape(caption)
    )
}

/// Panics with what is wrong unless every tag is closed in order and every attribute is quoted: for tests. Reads what is
/// written here, not HTML at large.
#[cfg(test)]
pub fn assert_well_formed(page: &str) {
    let mut open: Vec<String> = Vec::new();
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        rest = &rest[start..];
        if rest.starts_with("<!DOCTYPE") {
            rest = &rest[rest.find('>').expect("the doctype ends")..];
            continue;
        }
        let end = rest.find('>').expect("a tag ends");
        let tag = &rest[1..end];
        assert!(!tag.contains('<'), "a tag inside a tag: {tag}");
        assert!(tag.matches('"').count().is_multiple_of(2), "quotes of {tag}");
        rest = &rest[end..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "closes what is not open");
            continue;
        }
        let name: String = tag.chars().take_while(|letter| letter.is_ascii_alphanumeric()).collect();
        assert!(!name.is_empty(), "a bare < before {tag}");
        if !tag.ends_with('/') && !["meta", "br", "link"].contains(&name.as_str()) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(escape("a<b> & \"c\" 'd'\u{7}"), "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39; ");
        let table = table("t<", &["<a>".into()], &[vec!["\"".into(), "&".into()]]);
        assert_well_formed(&table);
        assert!(table.contains("&lt;a&gt;") && table.contains("<td>&amp;</td>"), "{table}");
    }

    #[test]
    #[should_panic(expected = "left open")]
    fn the_check_sees_an_open_tag() {
        assert_well_formed("<p><b>bold</b>");
    }

    #[test]
    #[should_panic(expected = "closes what is not open")]
    fn the_check_sees_tags_that_cross() {
        assert_well_formed("<p><b>bold</p></b>");
    }
}
