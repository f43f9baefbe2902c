//! The protocol from the server's side.

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use oci::{BlobDigest, Digest};
use serde_json::json;

use super::fault::Fault;
use super::http::{Answer, Asked, Request};
use super::{Shared, Stream};

fn error(status: u16, code: &str, message: &str) -> Answer {
    let body = json!({"errors": [{"code": code, "message": message}]});
    Answer::new(status).header("Content-Type", "application/json").text(body.to_string())
}

/// What a path names.
enum Place<'a> {
    Root,
    Token,
    Search,
    Manifest(&'a str, &'a str),
    Blob(&'a str, &'a str),
    Uploads(&'a str),
    Upload(&'a str, usize),
    Tags(&'a str),
    Nothing,
}

fn place(path: &str) -> Place<'_> {
    let path = path.split('?').next().unwrap_or_default();
    match path {
        "/v2/" => return Place::Root,
        "/token" => return Place::Token,
        "/v1/search" => return Place::Search,
        _ => {}
    }
    // What comes before is a mirror's prefix.
    let Some(rest) = path.split_once("/v2/").map(|(_, rest)| rest) else { return Place::Nothing };
    if let Some((name, id)) = rest.split_once("/blobs/uploads/") {
        return match (id, id.parse()) {
            ("", _) => Place::Uploads(name),
            (_, Ok(id)) => Place::Upload(name, id),
            _ => Place::Nothing,
        };
    }
    if let Some(name) = rest.strip_suffix("/tags/list") {
        return Place::Tags(name);
    }
    match (rest.split_once("/manifests/"), rest.split_once("/blobs/")) {
        (Some((name, reference)), _) => Place::Manifest(name, reference),
        (_, Some((name, digest))) => Place::Blob(name, digest),
        _ => Place::Nothing,
    }
}

/// The right that a request needs.
fn scope(asked: &Asked) -> String {
    match (place(&asked.path), asked.method.as_str()) {
        (Place::Manifest(name, _) | Place::Blob(name, _) | Place::Tags(name), "GET" | "HEAD") => {
            format!("repository:{name}:pull")
        }
        (Place::Manifest(name, _) | Place::Uploads(name) | Place::Upload(name, _), _) => {
            format!("repository:{name}:pull,push")
        }
        _ => String::new(),
    }
}

fn wrong(status: u16, headers: &[(&'static str, String)], text: &str) -> Answer {
    headers.iter().fold(Answer::new(status), |answer, (name, value)| answer.header(name, value)).text(text)
}

impl Shared {
    /// Answers one request. Whether the connection is still good.
    pub(super) fn answer(
        &self,
        request: Request,
        fault: Option<Fault>,
        stream: &mut BufReader<impl Stream>,
    ) -> io::Result<bool> {
        if request.asked.header("expect").is_some() {
            if let Some(refusal) = self.refusal(&request, fault.as_ref()) {
                // The connection has no room for the next request: nobody knows whether the body follows.
                refusal.write(stream.get_mut(), false, None)?;
                return Ok(false);
            }
            stream.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if let Some(Fault::CutUpload(count)) = fault {
            let mut part = Vec::new();
            stream.take(count as u64).read_to_end(&mut part)?;
            if let Place::Upload(_, id) = place(&request.asked.path) {
                self.store.extend_upload(id, &part);
            }
            return Ok(false);
        }
        let body = request.body(stream)?;
        if body.len() < request.length {
            return Ok(false);
        }
        let answer = match &fault {
            Some(Fault::Status(status, headers, text)) => wrong(*status, headers, text),
            _ => self.route(&request.asked, &body, matches!(fault, Some(Fault::NoRange))),
        };
        answer.write(stream.get_mut(), request.asked.method == "HEAD", fault.as_ref())
    }

    /// What is said to who asks first whether to send a body.
    fn refusal(&self, request: &Request, fault: Option<&Fault>) -> Option<Answer> {
        if let Some(Fault::Status(status, headers, text)) = fault {
            return Some(wrong(*status, headers, text));
        }
        if let Some(answer) = self.turn_down(&request.asked, &scope(&request.asked)) {
            return Some(answer);
        }
        self.options.largest_request.filter(|largest| request.length as u64 > *largest).map(|_| Answer::new(413))
    }

    fn route(&self, asked: &Asked, body: &[u8], no_range: bool) -> Answer {
        let place = place(&asked.path);
        if !matches!(place, Place::Token) {
            if let Some(answer) = self.turn_down(asked, &scope(asked)) {
                return answer;
            }
        }
        if self.options.largest_request.is_some_and(|largest| body.len() as u64 > largest) {
            return Answer::new(413);
        }
        match (place, asked.method.as_str()) {
            (Place::Root, "GET") => Answer::new(200).text("{}"),
            (Place::Token, "GET" | "POST") => self.token(asked, body),
            (Place::Search, "GET") => search(asked),
            (Place::Manifest(name, reference), "GET" | "HEAD") => self.get_manifest(name, reference),
            (Place::Manifest(name, reference), "PUT") => self.put_manifest(asked, name, reference, body),
            (Place::Blob(name, digest), "GET" | "HEAD") => self.get_blob(asked, name, digest, no_range),
            (Place::Tags(name), "GET") => self.get_tags(asked, name),
            (Place::Uploads(name), "POST") => self.post_upload(asked, name),
            (Place::Upload(name, id), method) => self.upload(asked, method, name, id, body),
            _ => error(404, "NOT_FOUND", "no such place"),
        }
    }

    fn get_manifest(&self, name: &str, reference: &str) -> Answer {
        let Some(manifest) = self.store.manifest(name, reference) else {
            return error(404, "MANIFEST_UNKNOWN", "manifest unknown");
        };
        let digest = Digest::of(&manifest.bytes);
        let answer = Answer::new(200).header("Content-Type", manifest.media_type);
        answer.header("Docker-Content-Digest", digest).body(manifest.bytes)
    }

    fn put_manifest(&self, asked: &Asked, name: &str, reference: &str, body: &[u8]) -> Answer {
        let media_type = asked.header("content-type").unwrap_or_default();
        let tag = reference.parse::<BlobDigest>().is_err().then_some(reference);
        let digest = self.store.put_manifest(name, tag, media_type, body.to_vec());
        Answer::new(201).header("Docker-Content-Digest", digest).header("Location", "/somewhere")
    }

    fn get_blob(&self, asked: &Asked, name: &str, digest: &str, no_range: bool) -> Answer {
        let bytes = digest.parse().ok().and_then(|digest| self.store.blob(name, digest));
        let Some(bytes) = bytes else { return error(404, "BLOB_UNKNOWN", "blob unknown to registry") };
        let range =
            asked.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        let answer = Answer::new(200).header("Docker-Content-Digest", digest);
        match range.filter(|_| !no_range) {
            None => answer.body(bytes),
            Some(from) if from < bytes.len() => {
                let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
                Answer { status: 206, from, ..answer }.header("Content-Range", range).body(bytes)
            }
            Some(_) => Answer::new(416),
        }
    }

    fn get_tags(&self, asked: &Asked, name: &str) -> Answer {
        let Some(tags) = self.store.tags(name) else { return error(404, "NAME_UNKNOWN", "repository name not known") };
        let last = asked.parameter("last").unwrap_or_default();
        let rest: Vec<String> = tags.into_iter().filter(|tag| *tag > last).collect();
        let wanted = asked.parameter("n").and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
        let page = &rest[..rest.len().min(wanted).min(self.options.page.unwrap_or(usize::MAX))];
        let answer = Answer::new(200).text(json!({"name": name, "tags": page}).to_string());
        match page.last().filter(|_| page.len() < rest.len()) {
            Some(last) => answer.header("Link", format!("</v2/{name}/tags/list?n={wanted}&last={last}>; rel=\"next\"")),
            None => answer,
        }
    }

    fn post_upload(&self, asked: &Asked, name: &str) -> Answer {
        if let (Some(digest), Some(from), false) =
            (asked.parameter("mount"), asked.parameter("from"), self.options.no_mounts)
        {
            if digest.parse().is_ok_and(|digest| self.store.mount(name, digest, &from)) {
                return Answer::new(201).header("Location", "/somewhere");
            }
        }
        let id = self.store.begin_upload();
        let answer = Answer::new(202).header("Location", format!("/v2/{name}/blobs/uploads/{id}?state=0"));
        match self.options.smallest_chunk {
            Some(smallest) => answer.header("OCI-Chunk-Min-Length", smallest),
            None => answer,
        }
    }

    fn upload(&self, asked: &Asked, method: &str, name: &str, id: usize, body: &[u8]) -> Answer {
        let Some(length) = self.store.upload_length(id) else {
            return error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry");
        };
        let first = asked.header("content-range").map(|range| range.split('-').next().unwrap_or_default().to_owned());
        if first.is_some_and(|first| first != length.to_string()) {
            return error(416, "BLOB_UPLOAD_INVALID", "out of order");
        }
        let state = |length: usize| {
            let answer = Answer::new(202).header("Location", format!("/v2/{name}/blobs/uploads/{id}?state={length}"));
            answer.header("Range", format!("0-{}", length.saturating_sub(1)))
        };
        match method {
            "GET" => Answer { status: 204, ..state(length) },
            "PATCH" => {
                let total = asked.header("content-range").is_none();
                if !total && self.options.smallest_chunk.is_some_and(|smallest| (body.len() as u64) < smallest) {
                    return error(400, "SIZE_INVALID", "chunk is too small");
                }
                state(self.store.extend_upload(id, body).unwrap_or(0))
            }
            "PUT" => {
                self.store.extend_upload(id, body);
                self.commit(asked, name, self.store.take_upload(id).unwrap_or_default())
            }
            "DELETE" => {
                self.store.take_upload(id);
                Answer::new(204)
            }
            _ => Answer::new(405),
        }
    }

    fn commit(&self, asked: &Asked, name: &str, bytes: Vec<u8>) -> Answer {
        let digest = BlobDigest::new(Digest::of(&bytes));
        if asked.parameter("digest") != Some(digest.to_string()) {
            return error(400, "DIGEST_INVALID", "provided digest did not match uploaded content");
        }
        self.store.put_blob(name, bytes);
        Answer::new(201).header("Docker-Content-Digest", digest).header("Location", "/somewhere")
    }
}

fn search(asked: &Asked) -> Answer {
    let term = asked.parameter("q").unwrap_or_default();
    let count = asked.parameter("n").and_then(|n| n.parse().ok()).unwrap_or(25);
    let results: Vec<_> = (0..count)
        .map(
            |n| json!({"name": format!("{term}{n}"), "description": "a thing", "star_count": n, "is_official": n == 0}),
        )
        .collect();
    Answer::new(200).body(Arc::new(json!({"num_results": count, "results": results}).to_string().into_bytes()))
}
