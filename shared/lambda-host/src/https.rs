//! HTTPS for the clients of AWS: HTTP/1.1 alone, one pool of connections for all of them.
//!
//! The clients' own stack links HTTP/2 too, whatever it is told: a tenth of the code of `wake`, for what takes one request
//! at a time. What is decided here is decided as there: cipher suites, whom to trust, which errors another attempt may
//! help against.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::connection::{CaptureSmithyConnection, ConnectionMetadata};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::ErrorKind;
use http::{Extensions, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{CaptureConnection, HttpInfo, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rekindle_step::StepError;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{CipherSuite, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower::timeout::error::Elapsed;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceBuilder};

/// For the name, the connection and TLS together.
const CONNECT: Duration = Duration::from_secs(3);

/// Those of the clients' own stack, in its order.
const SUITES: [CipherSuite; 7] = [
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;
type Connect = BoxCloneSyncService<Uri, Stream, BoxError>;

/// One stack for all clients.
#[derive(Debug)]
pub(crate) struct Https(SharedHttpConnector);

impl Https {
    /// Trusts whom this machine trusts.
    pub(crate) fn new() -> Result<Self, StepError> {
        let tls = tls().map_err(|error| StepError::permanent("TLS cannot be set up").because(error))?;
        let connect: Connect =
            ServiceBuilder::new().layer_fn(BoxCloneSyncService::new).timeout(CONNECT).service(connector(tls));
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connect);
        Ok(Self(SharedHttpConnector::new(Connector(client))))
    }
}

impl HttpClient for Https {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        self.0.clone()
    }
}

fn connector(tls: ClientConfig) -> HttpsConnector<hyper_util::client::legacy::connect::HttpConnector> {
    let mut tcp = hyper_util::client::legacy::connect::HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp)
}

fn tls() -> Result<ClientConfig, rustls::Error> {
    let mut trusted = RootCertStore::empty();
    let (valid, _) = trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if valid == 0 {
        tracing::warn!("this machine trusts nobody: no HTTPS connection can be made");
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(cryptography()));
    Ok(builder.with_safe_default_protocol_versions()?.with_root_certificates(trusted).with_no_client_auth())
}

fn cryptography() -> CryptoProvider {
    let all = aws_lc_rs::default_provider();
    let named = |suite| all.cipher_suites.iter().find(|known| known.suite() == suite).copied();
    CryptoProvider { cipher_suites: SUITES.into_iter().filter_map(named).collect(), ..all }
}

#[derive(Debug)]
struct Connector(Client<Connect, SdkBody>);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into()))),
        };
        let connection = capture_connection(&mut request);
        if let Some(capture) = request.extensions().get::<CaptureSmithyConnection>() {
            capture.set_connection_retriever(move || about(&connection));
        }
        let answer = self.0.request(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await.map_err(|error| classified(error.into()))?;
            HttpResponse::try_from(answer.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// With it the client closes a connection that a broken answer came from.
fn about(connection: &CaptureConnection) -> Option<ConnectionMetadata> {
    let mut extensions = Extensions::new();
    connection.connection_metadata().as_ref()?.get_extras(&mut extensions);
    let addresses = extensions.get::<HttpInfo>();
    let connection = connection.clone();
    let mut builder = ConnectionMetadata::builder().proxied(false).poison_fn(move || {
        if let Some(connection) = connection.connection_metadata().as_ref() {
            connection.poison();
        }
    });
    builder
        .set_local_addr(addresses.map(HttpInfo::local_addr))
        .set_remote_addr(addresses.map(HttpInfo::remote_addr));
    Some(builder.build())
}

/// Says what another attempt may help against.
fn classified(error: BoxError) -> ConnectorError {
    if find::<Elapsed>(error.as_ref()).is_some() {
        return ConnectorError::timeout(error);
    }
    if let Some(cause) = find::<hyper::Error>(error.as_ref()) {
        return kind(cause)(error);
    }
    let is_connect =
        find::<hyper_util::client::legacy::Error>(error.as_ref()).is_some_and(|cause| cause.is_connect());
    if is_connect || find::<std::io::Error>(error.as_ref()).is_some() {
        return ConnectorError::io(error);
    }
    ConnectorError::other(error, None)
}

fn kind(error: &hyper::Error) -> fn(BoxError) -> ConnectorError {
    if error.is_timeout() {
        return ConnectorError::timeout;
    }
    if error.is_user() {
        return ConnectorError::user;
    }
    if error.is_closed() || error.is_canceled() || find::<std::io::Error>(error).is_some() {
        return ConnectorError::io;
    }
    if error.is_incomplete_message() {
        return |error| ConnectorError::other(error, Some(ErrorKind::TransientError));
    }
    |error| ConnectorError::other(error, None)
}

fn find<'error, E: Error + 'static>(error: &'error (dyn Error + 'static)) -> Option<&'error E> {
    std::iter::successors(Some(error), |&error| error.source()).find_map(|error| error.downcast_ref())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "test code")]
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn call(uri: &str) -> Result<HttpResponse, ConnectorError> {
        let Https(connector) = Https::new().unwrap();
        let request = http::Request::get(uri).body(SdkBody::empty()).unwrap();
        connector.call(request.try_into().unwrap()).await
    }

    /// Reads one request and sends these bytes.
    async fn answering(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _read = stream.read(&mut [0; 1024]).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        address.to_string()
    }

    #[tokio::test]
    async fn an_answer_is_handed_on() {
        let address = answering("HTTP/1.1 418 Teapot\r\nContent-Length: 2\r\n\r\n{}").await;
        let answer = call(&format!("http://{address}/")).await.unwrap();
        assert_eq!(answer.status().as_u16(), 418);
    }

    #[tokio::test]
    async fn what_another_attempt_may_help_against_is_said() {
        let refused = call("https://127.0.0.1:9/").await.unwrap_err();
        assert!(refused.is_io(), "{refused:?}");
        let address = answering("HTTP/1.1 200 OK\r\nContent-").await;
        let broken = call(&format!("http://{address}/")).await.unwrap_err();
        assert_eq!(broken.as_other(), Some(ErrorKind::TransientError), "{broken:?}");
        let address = answering("nonsense\r\n\r\n").await;
        let nonsense = call(&format!("http://{address}/")).await.unwrap_err();
        assert!(nonsense.is_other() && nonsense.as_other().is_none(), "{nonsense:?}");
        let address = answering("nonsense\r\n\r\n").await;
        let without_tls = call(&format!("https://{address}/")).await.unwrap_err();
        assert!(without_tls.is_io(), "{without_tls:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_begin_with_tls_is_waited_for_in_vain() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let silent = call(&format!("https://{address}/")).await.unwrap_err();
        assert!(silent.is_timeout(), "{silent:?}");
    }

    #[test]
    fn every_suite_of_the_list_is_there() {
        assert_eq!(cryptography().cipher_suites.len(), SUITES.len());
    }
}
