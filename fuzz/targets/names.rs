//! Questions of containers to the resolver of names.

#![no_main]

use libfuzzer_sys::fuzz_target;
use network::Endpoint;
use network::dns::{Answer, answer};

fuzz_target!(|query: &[u8]| {
    let member = Endpoint {
        network: "blue".into(),
        names: vec!["web".into(), "www".into()],
        addresses: vec![([10, 0, 0, 2].into(), 24), ([0xfd; 16].into(), 64)],
        ..Endpoint::default()
    };
    for outside in [false, true] {
        if let Some(Answer::Reply(reply)) = answer(query, std::slice::from_ref(&member), outside) {
            // Whoever is answered must not have to be answered again.
            assert_eq!(answer(&reply, std::slice::from_ref(&member), outside), None);
        }
    }
});
