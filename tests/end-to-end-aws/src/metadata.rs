//! The instance metadata service of one instance: what the agent reads of it, and nothing else.
//!
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html>

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};

/// The public half of the customer's key; nobody has the other half.
pub(crate) const PUBLIC_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPh398bujUbu891b7pt0Oc6PFWwmoueo38L/dnhx7Mex customer";

/// Serves until the test's process ends, and gives the endpoint.
///
/// # Panics
/// When the machine has no free port.
pub fn serve(instance_id: &str, key_name: Option<String>) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let instance_id = instance_id.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Who hangs up is not answered.
            let _ = answer(stream, &instance_id, key_name.as_deref());
        }
    });
    endpoint
}

fn answer(mut stream: TcpStream, instance_id: &str, key_name: Option<&str>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let body = match (path, key_name) {
        ("/latest/api/token", _) => Some("token".to_owned()),
        ("/latest/meta-data/instance-id", _) => Some(instance_id.to_owned()),
        ("/latest/meta-data/public-keys/", Some(name)) => Some(format!("0={name}")),
        ("/latest/meta-data/public-keys/0/openssh-key", Some(_)) => Some(PUBLIC_KEY.to_owned()),
        _ => None,
    };
    let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
    let body = body.unwrap_or_default();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}
