//! Names that are this machine are never asked of anybody.

use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs as _};

use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};

use super::settings::is_localhost_name;

/// Resolves names as the operating system does, except that those under `.localhost` are the loopback address
/// (RFC 6761, section 6.3): not every resolver knows that, and the API of an emulator has such a name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resolver;

impl ResolveDns for Resolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        if is_localhost_name(name) {
            return DnsFuture::ready(Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]));
        }
        let name = name.to_owned();
        DnsFuture::new(async move {
            let found = tokio::task::spawn_blocking(move || (name, 0).to_socket_addrs()).await;
            let found = found.map_err(ResolveDnsError::new)?.map_err(ResolveDnsError::new)?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot resolve its own machine has failed")]
    use super::*;

    #[tokio::test]
    async fn names_under_localhost_are_this_machine() {
        for name in ["localhost", "a1b2.execute-api.localhost", "A1B2.EXECUTE-API.LOCALHOST."] {
            assert_eq!(
                Resolver.resolve_dns(name).await.unwrap(),
                [IpAddr::V4(Ipv4Addr::LOCALHOST)],
                "{name}"
            );
        }
        assert!(Resolver.resolve_dns("name.invalid").await.is_err());
    }
}
