//! The tags of a repository (distribution-spec: "Listing Tags").

use serde::Deserialize;
use stdx::{Error, Result};
use ureq::http::Method;

use crate::ask::ask;
use crate::body;
use crate::error::Deed;
use crate::repository::Repository;
use crate::session::{Question, Target};
use crate::transport::Response;
use crate::url::Url;

const PAGE: &str = "1000";
const MOST_PAGES: usize = 1000;
const LARGEST_PAGE: u64 = 4 << 20;

#[derive(Deserialize)]
struct Page {
    /// Go writes none as `null`.
    tags: Option<Vec<String>>,
}

impl Repository {
    /// Every tag, as the registry itself has them.
    pub fn tags(&self) -> Result<Vec<String>> {
        let endpoint = self.registry()?;
        let deed = Deed::new("list", format!("tags of \"{}\"", self.name.familiar_name()));
        let mut tags = Vec::new();
        let mut target = Target::Path(self.path("tags/list"), vec![("n", PAGE.to_owned())]);
        for _ in 0..MOST_PAGES {
            let mut question = Question::new(Method::GET, target, &self.scope);
            let response = ask(&self.context, &endpoint, &deed, &mut question, &[200])?;
            let next = next_page(&response);
            let page: Page = body::json(response, LARGEST_PAGE)?;
            tags.extend(page.tags.unwrap_or_default());
            match next {
                Some(url) => target = Target::Url(url),
                None => return Ok(tags),
            }
        }
        Err(Error::corrupt(format!("{} lists tags without an end", endpoint.who())))
    }
}

/// `Link: <URL>; rel="next"` (RFC 8288), if it stays with the host.
fn next_page(response: &Response) -> Option<Url> {
    let links = response.headers.get_all("link").iter().filter_map(|value| value.to_str().ok());
    let to = links.flat_map(|value| value.split(',')).find_map(next_link)?;
    response.url.join(to).filter(|url| url.origin == response.url.origin)
}

fn next_link(link: &str) -> Option<&str> {
    let (url, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = |parameter: &str| {
        let parameter: String = parameter.chars().filter(|c| !c.is_whitespace() && *c != '"').collect();
        parameter.eq_ignore_ascii_case("rel=next")
    };
    parameters.split(';').any(is_next).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::next_link;

    #[test]
    fn links_to_the_next_page() {
        for (link, expected) in [
            (r#"</v2/a/tags/list?n=1&last=b>; rel="next""#, Some("/v2/a/tags/list?n=1&last=b")),
            (r#"<x>;title=y; REL = next"#, Some("x")),
            (r#"<x>; rel="prev""#, None),
            ("<x>", None),
            ("x; rel=next", None),
            ("<x; rel=next", None),
        ] {
            assert_eq!(next_link(link), expected, "{link}");
        }
    }
}
