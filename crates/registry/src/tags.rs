//! The tags of a repository (distribution-spec: "Listing Tags").

use serde::Deserialize;
use stdx::{Error, Result};
use ureq::http::Method;

use crate::error::Deed;
use crate::repository::Repository;
use crate::session::{Question, Target};
use crate::transport::Head;
use crate::url::Url;
use crate::{ask, body};

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
            let document = ask::document(&self.context, &endpoint, &deed, &mut question, LARGEST_PAGE)?;
            let next = next_page(&document.head);
            let page: Page = body::json(&document.head, &document.bytes)?;
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
fn next_page(head: &Head) -> Option<Url> {
    let links = head.headers.get_all("link").iter().filter_map(|value| value.to_str().ok());
    let to = links.flat_map(|value| value.split(',')).find_map(next_link)?;
    head.url.join(to).filter(|url| url.origin == head.url.origin)
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
mod tests;
