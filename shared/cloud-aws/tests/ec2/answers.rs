//! EC2's answers, in the shape of its documentation.
//!
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/OperationList-query.html>

use std::fmt::Write as _;

use crate::recorder::Answer;

pub const RUN: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
pub const MACHINE: &str = "acme/orders/database";
pub const INSTANCE: &str = "i-0a1b2c3d4e5f60001";
pub const IMAGE: &str = "ami-0a1b2c3d4e5f60002";
pub const SNAPSHOT: &str = "snap-0a1b2c3d4e5f6003";

/// An answer of this action with this inside.
pub fn reply<'a>(action: &'a str, inside: &str) -> (&'a str, Answer) {
    let body = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<{action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
  <requestId>59dbff89-35bd-4eac-99ed-be587EXAMPLE</requestId>{inside}
</{action}Response>"#
    );
    (action, Answer::Reply(200, body))
}

pub fn done(action: &str) -> (&str, Answer) {
    reply(action, "<return>true</return>")
}

/// An error answer.
pub fn error<'a>(action: &'a str, status: u16, code: &str, message: &str) -> (&'a str, Answer) {
    let body = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>
<RequestID>ea966190-f9aa-478e-9ede-example</RequestID></Response>"#
    );
    (action, Answer::Reply(status, body))
}

pub fn instance(id: &str, code: u8, state: &str, token: &str) -> String {
    format!(
        "<item><instanceId>{id}</instanceId><imageId>{IMAGE}</imageId>\
         <instanceState><code>{code}</code><name>{state}</name></instanceState>\
         <instanceType>t3.medium</instanceType><clientToken>{token}</clientToken>{}</item>",
        tags(&[])
    )
}

/// The tags of the run, and more.
pub fn tags(more: &[(&str, &str)]) -> String {
    let mut text = "<tagSet>".to_owned();
    for (key, value) in [("rekindle:run", RUN), ("rekindle:machine", MACHINE)].iter().chain(more) {
        write!(text, "<item><key>{key}</key><value>{value}</value></item>").unwrap();
    }
    text + "</tagSet>"
}

pub fn started(id: &str) -> (&'static str, Answer) {
    let instance = instance(id, 0, "pending", "");
    let inside = format!(
        "<reservationId>r-1</reservationId><ownerId>111122223333</ownerId><instancesSet>{instance}</instancesSet>"
    );
    reply("RunInstances", &inside)
}

/// One page of reservations with one instance each.
pub fn instances(instances: &[String], next: Option<&str>) -> (&'static str, Answer) {
    let items = instances.iter().map(|instance| {
        format!("<item><reservationId>r-1</reservationId><instancesSet>{instance}</instancesSet></item>")
    });
    page("DescribeInstances", "reservationSet", &items.collect::<String>(), next)
}

pub fn page(action: &'static str, set: &str, items: &str, next: Option<&str>) -> (&'static str, Answer) {
    let next = next.map(|token| format!("<nextToken>{token}</nextToken>")).unwrap_or_default();
    reply(action, &format!("<{set}>{items}</{set}>{next}"))
}

pub fn image(id: &str, name: &str, state: &str, snapshots: &[&str], tags: &str) -> String {
    let blocks = snapshots.iter().enumerate().map(|(number, snapshot)| {
        let device = ["/dev/xvda", "/dev/sdf"][number];
        format!(
            "<item><deviceName>{device}</deviceName><ebs><snapshotId>{snapshot}</snapshotId>\
             <volumeSize>15</volumeSize><deleteOnTermination>false</deleteOnTermination>\
             <volumeType>gp3</volumeType><encrypted>true</encrypted></ebs></item>"
        )
    });
    format!(
        "<item><imageId>{id}</imageId><name>{name}</name><imageState>{state}</imageState>\
         <rootDeviceName>/dev/xvda</rootDeviceName>\
         <blockDeviceMapping>{}<item><deviceName>/dev/sdb</deviceName><virtualName>ephemeral0</virtualName></item>\
         </blockDeviceMapping>{tags}</item>",
        blocks.collect::<String>()
    )
}

pub fn images(items: &str, next: Option<&str>) -> (&'static str, Answer) {
    page("DescribeImages", "imagesSet", items, next)
}

pub fn snapshot(id: &str, description: &str) -> String {
    format!(
        "<item><snapshotId>{id}</snapshotId><status>completed</status><description>{description}</description>{}</item>",
        tags(&[])
    )
}

pub fn snapshots(items: &str) -> (&'static str, Answer) {
    page("DescribeSnapshots", "snapshotSet", items, None)
}
