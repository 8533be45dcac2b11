//! Asks a program of this instance whether it serves.

use std::time::Duration;

use http_body_util::Empty;
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rekindle_step::{ErrorName, StepError};
use tokio::net::TcpStream;

const ONE_QUESTION: Duration = Duration::from_secs(5);
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// One question to a loopback URL; only the answer 200 is good.
pub(crate) async fn ask(url: &str) -> Result<(), StepError> {
    let target = Target::parse(url)?;
    match tokio::time::timeout(ONE_QUESTION, target.status()).await {
        Ok(Ok(StatusCode::OK)) => Ok(()),
        Ok(Ok(status)) => Err(unhealthy(format!("the application answers {} and not 200", status.as_u16()))),
        Ok(Err(error)) => Err(unhealthy(format!("the application does not answer: {error}"))),
        Err(_) => Err(unhealthy("the application did not answer within 5 s".to_owned())),
    }
}

/// Asks until the answer is 200. The job's own deadline may end it earlier.
pub(crate) async fn wait_until_healthy(url: &str) -> Result<(), StepError> {
    let started = tokio::time::Instant::now();
    loop {
        let error = match ask(url).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if error.name == ErrorName::ConfigurationRefused || started.elapsed() > LONGEST_WAIT {
            return Err(error);
        }
        tokio::time::sleep(BETWEEN_QUESTIONS).await;
    }
}

fn unhealthy(what: String) -> StepError {
    StepError::new(ErrorName::AgentFailed, what)
        .next_step("Read the program's log inside the instance, in /var/log/rekindle")
}

struct Target {
    host: String,
    port: u16,
    path: String,
}

impl Target {
    fn parse(url: &str) -> Result<Self, StepError> {
        let refused = || {
            StepError::new(
                ErrorName::ConfigurationRefused,
                format!("the health URL {url:?} is not http:// on a loopback address"),
            )
        };
        let uri: http::Uri = url.parse().map_err(|_| refused())?;
        let host = uri.host().ok_or_else(refused)?.trim_matches(['[', ']']).to_owned();
        let loopback =
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if uri.scheme_str() != Some("http") || !loopback {
            return Err(refused());
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { host, port: uri.port_u16().unwrap_or(80), path })
    }

    async fn status(&self) -> Result<StatusCode, Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let request = hyper::Request::get(&self.path)
            .header(hyper::header::HOST, format!("{}:{}", self.host, self.port))
            .body(Empty::<Bytes>::new())?;
        let driving = tokio::spawn(connection);
        let status = sender.send_request(request).await.map(|response| response.status());
        driving.abort();
        Ok(status?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_instance_is_asked() {
        for url in
            ["https://127.0.0.1/", "http://example.com/", "http://10.0.0.1/", "ftp://localhost/", "/x", ""]
        {
            assert!(Target::parse(url).is_err(), "{url}");
        }
        for url in ["http://127.0.0.1:8080/health", "http://localhost/", "http://[::1]:80/x?y=z"] {
            assert!(Target::parse(url).is_ok(), "{url}");
        }
    }

    #[tokio::test]
    async fn silence_is_unhealthy() {
        let error = ask("http://127.0.0.1:1/").await.err();
        assert_eq!(error.map(|error| error.name), Some(ErrorName::AgentFailed));
    }
}
