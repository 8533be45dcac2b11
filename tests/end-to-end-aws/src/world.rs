//! One customer with its production host, its base image and its machines, on the deployed stack.

use std::sync::Arc;

use aws_credential_types::Credentials;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::command_line::{aws, try_aws};
use crate::customer::{Customer, SSH_KEY_NAME, Wishes};
use crate::deployment::Deployment;
use crate::executions;
use crate::http_api::HttpApi;
use crate::machines::{Described, Machines, session};
use crate::metadata;
use crate::patience::eventually;

/// Everything that a test needs.
pub struct World {
    /// The stack.
    pub deployment: Deployment,
    /// The customer.
    pub customer: Arc<Customer>,
    /// What EC2 runs for it.
    pub machines: Machines,
    folder: tempfile::TempDir,
}

impl World {
    /// An ordinary service with a production database of some orders; not onboarded yet.
    ///
    /// # Panics
    /// When the stack cannot be used.
    pub fn new(service: &'static str) -> Self {
        Self::with(Wishes::ordinary(service))
    }

    /// The same with wishes.
    ///
    /// # Panics
    /// When the stack cannot be used.
    pub fn with(wishes: Wishes) -> Self {
        let deployment = Deployment::from_environment();
        let folder = tempfile::tempdir().unwrap();
        let customer = Arc::new(Customer::new(folder.path(), wishes));
        let production = customer.production();
        customer.furnish(production.root(), None);
        customer.configure(production.root(), &deployment, false);
        customer.write_orders(500);
        let machines = Machines::watch(customer.clone(), deployment.clone(), folder.path().join("instances"));
        std::fs::create_dir_all(folder.path().join("instances")).unwrap();
        import_public_key(SSH_KEY_NAME);
        Self { deployment, customer, machines, folder }
    }

    /// Makes the base image: an AMI of the customer's, and the disk that it stands for.
    ///
    /// # Panics
    /// When the emulator refuses.
    pub fn base_image(&self) -> String {
        let disk = self.folder.path().join("base");
        let wrapped = self.customer.wrap_identity(self.deployment.output("DataKeyArn"));
        self.customer.furnish(&disk, Some(&wrapped));
        let public = aws(&["ec2", "describe-images", "--owners", "amazon", "--max-items", "1"]);
        let parent = public["Images"][0]["ImageId"].as_str().unwrap().to_owned();
        let started = aws(&["ec2", "run-instances", "--image-id", &parent, "--instance-type", "t3.medium"]);
        let instance = started["Instances"][0]["InstanceId"].as_str().unwrap().to_owned();
        let machine = &self.customer.machine;
        let name = format!("rekindle-base-{}", machine.service_id);
        let tags = format!("ResourceType=image,Tags=[{{Key=rekindle:machine,Value={machine}}}]");
        let made = aws(&[
            "ec2",
            "create-image",
            "--instance-id",
            &instance,
            "--name",
            &name,
            "--tag-specifications",
            &tags,
        ]);
        aws(&["ec2", "terminate-instances", "--instance-ids", &instance]);
        let image_id = made["ImageId"].as_str().unwrap().to_owned();
        self.machines.insert_image(&image_id, disk);
        image_id
    }

    /// The operator API, asked by an administrator of the account.
    ///
    /// # Panics
    /// When the environment holds no credentials.
    pub fn operator(&self) -> HttpApi {
        let variable = |name: &str| std::env::var(name).unwrap();
        let credentials = Credentials::new(
            variable("AWS_ACCESS_KEY_ID"),
            variable("AWS_SECRET_ACCESS_KEY"),
            None,
            None,
            "environment",
        );
        HttpApi { url: self.deployment.output("OperatorApiUrl").to_owned(), credentials: Some(credentials) }
    }

    /// The same API, asked by another person.
    pub fn another_operator(&self) -> HttpApi {
        const NAME: &str = "grace";
        let _ = try_aws(&["iam", "create-user", "--user-name", NAME]); // She may be there from another test.
        let all = "arn:aws:iam::aws:policy/AdministratorAccess";
        aws(&["iam", "attach-user-policy", "--user-name", NAME, "--policy-arn", all]);
        let key = aws(&["iam", "create-access-key", "--user-name", NAME])["AccessKey"].clone();
        let field = |name: &str| key[name].as_str().expect("an access key").to_owned();
        let credentials =
            Credentials::new(field("AccessKeyId"), field("SecretAccessKey"), None, None, "another person");
        HttpApi { credentials: Some(credentials), ..self.operator() }
    }

    /// The agent API, asked by a session, or unsigned.
    ///
    /// # Panics
    /// When the session has no credentials.
    pub fn agent_api(&self, session: Option<&[(String, String)]>) -> HttpApi {
        let credentials = session.map(|variables| {
            let variable = |name: &str| {
                let found = variables.iter().find(|(variable, _)| variable == name);
                found.map(|(_, value)| value.clone()).expect("a session without credentials")
            };
            let token = Some(variable("AWS_SESSION_TOKEN"));
            Credentials::new(
                variable("AWS_ACCESS_KEY_ID"),
                variable("AWS_SECRET_ACCESS_KEY"),
                token,
                None,
                "session",
            )
        });
        HttpApi { url: self.deployment.output("AgentApiUrl").to_owned(), credentials }
    }

    /// Calls a function: its answer, or its error.
    ///
    /// # Errors
    /// What the function answered as its error.
    ///
    /// # Panics
    /// When the function cannot be called.
    pub fn call(&self, function: &str, event: &Value) -> Result<Value, Value> {
        let (asked, said) = (self.folder.path().join("event.json"), self.folder.path().join("answer.json"));
        std::fs::write(&asked, event.to_string()).unwrap();
        let name = format!("rekindle-e2e-{function}");
        let (payload, answer) = (format!("fileb://{}", asked.display()), said.display().to_string());
        let called = aws(&["lambda", "invoke", "--function-name", &name, "--payload", &payload, &answer]);
        let answer: Value = serde_json::from_slice(&std::fs::read(&said).unwrap()).unwrap();
        if called["FunctionError"].is_string() { Err(answer) } else { Ok(answer) }
    }

    /// Onboards the service through the operator API.
    ///
    /// # Panics
    /// When the API refuses.
    pub fn onboard(&self) -> Value {
        let base_image = self.base_image();
        let client_token = format!("onboarding-{}", self.customer.machine.service_id);
        let body = json!({"client_token": client_token, "service": self.customer.service(&base_image)});
        self.operator().ask("POST", "/v1/services", Some(&body)).good()
    }

    /// Takes a backup with the backup role; its description wakes the stack.
    ///
    /// # Panics
    /// When the backup fails.
    pub fn back_up(&self) -> Value {
        self.customer.back_up(&self.production_session())
    }

    /// Publishes a configuration of one file: stored with the backup role, made current through the operator API.
    ///
    /// # Panics
    /// When one of them refuses.
    pub fn publish_configuration(&self, content: &str) -> Value {
        let revision = self.customer.publish_configuration(content, &self.production_session());
        let machine = &self.customer.machine;
        let service = format!("/v1/customers/{}/services/{}", machine.customer_id, machine.service_id);
        let version = self.operator().ask("GET", &service, None).good()["version"].clone();
        let body = json!({"client_token": "configuration-1", "version": version, "revision": revision});
        self.operator().ask("POST", &format!("{service}/configurations"), Some(&body)).good();
        revision
    }

    fn production_session(&self) -> Vec<(String, String)> {
        session(self.deployment.output("BackupRoleArn"), "production")
    }

    /// What the register knows of the machine's images, newest first.
    ///
    /// # Panics
    /// When the API refuses.
    pub fn images(&self) -> Vec<Value> {
        let machine = &self.customer.machine;
        let path = format!(
            "/v1/customers/{}/services/{}/machines/{}/images",
            machine.customer_id, machine.service_id, machine.machine_id
        );
        let answer = self.operator().ask("GET", &path, None).good();
        answer["items"].as_array().expect("a list of images has items").clone()
    }

    /// Waits until the register holds this many images, and gives the newest.
    pub fn image_number(&self, number: usize) -> Value {
        eventually(&format!("image number {number}"), || {
            let images = self.images();
            (images.len() >= number).then(|| images[0].clone())
        })
    }

    /// Waits until a run is reported, and gives what the API says of it.
    pub fn ended(&self, run_id: &str) -> Value {
        eventually(&format!("the report of run {run_id}"), || self.reported(run_id))
    }

    /// What the API says of a run that is reported; nothing while it is not, or its first step has not begun.
    fn reported(&self, run_id: &str) -> Option<Value> {
        let answer = self.operator().ask("GET", &format!("/v1/runs/{run_id}"), None);
        (answer.status != 404).then(|| answer.good()).filter(|run| run["run"]["reported"] == true)
    }

    /// The runs of refreshes of this machine, newest first, by their executions.
    pub fn refreshes(&self) -> Vec<String> {
        let machine = json!(self.customer.machine);
        let all = executions::all(self.deployment.output("RefreshImageStateMachineArn"));
        let ours = |execution: &String| executions::input(execution)["machine"] == machine;
        all.into_iter().filter(ours).collect()
    }

    /// Waits until no instance of this machine exists.
    pub fn wait_until_nothing_runs(&self) {
        let is_gone = |instance: &Described| instance.state == "terminated";
        eventually("the end of all instances", || {
            self.machines.described().iter().all(is_gone).then_some(())
        });
    }

    /// The report of a run.
    pub fn report(&self, run_id: &str) -> Value {
        self.operator().ask("GET", &format!("/v1/runs/{run_id}/report"), None).good()
    }

    /// The keys of what is kept of a run's report in the control bucket.
    pub fn kept_reports(&self, run_id: &str) -> Vec<String> {
        let bucket = self.deployment.output("ControlBucketName");
        let listed = aws(&["s3api", "list-objects-v2", "--bucket", bucket]);
        let objects = listed["Contents"].as_array().into_iter().flatten();
        let keys = objects.filter_map(|object| object["Key"].as_str()).map(str::to_owned);
        keys.filter(|key| key.contains(run_id)).collect()
    }

    /// Declares a disaster, and gives its run.
    pub fn declare_disaster(&self) -> String {
        self.declare_disaster_with(json!({}))
    }

    /// The same with more in its body.
    pub fn declare_disaster_with(&self, more: Value) -> String {
        let machine = &self.customer.machine;
        let mut body = json!({
            "customer_id": machine.customer_id,
            "services": [machine.service_id],
            "reason": "the site burns",
            "client_token": format!("disaster-{}", machine.service_id),
        });
        let more = more.as_object().expect("an object").clone();
        body.as_object_mut().expect("an object").extend(more);
        let answer = self.operator().ask("POST", "/v1/recoveries", Some(&body)).good();
        answer["run_id"].as_str().unwrap().to_owned()
    }

    /// Waits until a refresh of this machine has ended without an image where one was due, and gives what the API says
    /// of it.
    pub fn failed_refresh(&self) -> Value {
        let nothing_due = ["NothingToDo", "Coalesced", "BackingOff"];
        eventually("a refresh that fails", || {
            let refreshes = self.refreshes().into_iter();
            let mut runs = refreshes.filter_map(|execution| self.reported(executions::run_of(&execution)));
            runs.find(|run| !nothing_due.iter().any(|outcome| run["run"]["outcome"] == *outcome))
        })
    }

    /// Waits until a builder runs, and gives the execution that waits for it.
    pub fn refresh_with_a_builder(&self) -> String {
        let instance = eventually("a builder", || {
            self.machines.described().into_iter().find(|instance| instance.state == "running")
        });
        executions::of_run(self.deployment.output("RefreshImageStateMachineArn"), &instance.run)
    }

    /// Waits until a refresh with a builder has come to this state, and gives its execution.
    pub fn refresh_in(&self, state: &str) -> String {
        let execution = self.refresh_with_a_builder();
        eventually(&format!("the state {state}"), || {
            executions::entered_states(&execution).iter().any(|entered| entered == state).then_some(())
        });
        execution
    }

    /// Calls the sweep now, instead of waiting for its schedule.
    ///
    /// # Errors
    /// What could not be done.
    pub fn sweep(&self) -> Result<Value, Value> {
        let swept = self.call("sweep", &json!({}));
        swept
            .as_ref()
            .map_or_else(|error| eprintln!("the sweep: {error}"), |done| eprintln!("the sweep: {done}"));
        swept
    }

    /// The newest rebuild of the register.
    pub fn rebuild(&self) -> Value {
        let rebuild = self.operator().ask("GET", "/v1/register", None).good()["rebuild"].clone();
        eprintln!("the rebuild: {} {}", rebuild["state"], rebuild["note"]);
        rebuild
    }

    /// Sweeps until a run that nobody carries on is reported, and gives what the API says of it.
    pub fn swept(&self, run_id: &str) -> Value {
        eventually(&format!("the report that run {run_id} owes"), || {
            self.sweep().unwrap();
            self.reported(run_id)
        })
    }

    /// Waits until a function failed for this machine, and gives the line of its log that says so.
    pub fn failed_call(&self, function: &str) -> Value {
        let group = format!("/aws/lambda/rekindle-e2e-{function}");
        let machine = self.customer.machine.to_string();
        eventually(&format!("a failure of {function}"), || {
            let answer = aws(&["logs", "filter-log-events", "--log-group-name", &group]);
            let events = answer["events"].as_array().into_iter().flatten();
            let lines = events.filter_map(|event| event["message"].as_str());
            let mut lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.find(|line| line["message"] == "failed" && line["span"]["machine"] == machine.as_str())
        })
    }

    /// Makes the register believe that nothing was heard of the instances of a run for an hour: nobody waits that long
    /// in a test, and the clocks of functions cannot be turned.
    pub fn silence(&self, run_id: &str) {
        let table = self.deployment.output("TableName");
        let wanted = json!({":run": {"S": format!("#{run_id}#")}, ":job": {"S": "JOB#"}}).to_string();
        let filter = ["--filter-expression", "contains(sk, :run) AND begins_with(sk, :job)"];
        let values = ["--expression-attribute-values", &wanted];
        let found = aws(&[&["dynamodb", "scan", "--table-name", table][..], &filter, &values].concat());
        for job in found["Items"].as_array().into_iter().flatten() {
            let hello = json!({"pk": job["pk"], "sk": {"S": "HELLO"}}).to_string();
            let greeting = aws(&["dynamodb", "get-item", "--table-name", table, "--key", &hello]);
            for item in [job, &greeting["Item"]] {
                let_be_long_ago(table, item);
            }
        }
    }

    /// Ends an open recovery, and lets the sweep do it now.
    pub fn end_recovery(&self, run_id: &str) {
        let path = format!("/v1/recoveries/{run_id}/end");
        self.operator().ask("POST", &path, Some(&json!({"confirm": run_id}))).good();
        self.sweep().unwrap();
    }

    /// What exists with the run's tag: instances, images, snapshots, volumes and network interfaces.
    pub fn left_of_run(&self, run_id: &str) -> Vec<String> {
        let filter = format!("Name=tag:rekindle:run,Values={run_id}");
        let kinds = [
            ("describe-images", "Images[].ImageId"),
            ("describe-snapshots", "Snapshots[].SnapshotId"),
            ("describe-volumes", "Volumes[].VolumeId"),
            ("describe-network-interfaces", "NetworkInterfaces[].NetworkInterfaceId"),
            ("describe-instances", "Reservations[].Instances[?State.Name != 'terminated'][].InstanceId"),
        ];
        let found =
            kinds.map(|(describe, ids)| aws(&["ec2", describe, "--filters", &filter, "--query", ids]));
        let ids = found.iter().flat_map(|ids| ids.as_array().expect("a list of ids"));
        ids.map(|id| id.as_str().expect("an id").to_owned()).collect()
    }

    /// An image and its snapshots.
    pub fn parts_of_image(&self, image_id: &str) -> Vec<String> {
        let query = "Images[].BlockDeviceMappings[].Ebs.SnapshotId";
        let snapshots = aws(&["ec2", "describe-images", "--image-ids", image_id, "--query", query]);
        let snapshots = snapshots.as_array().expect("a list of ids").iter().filter_map(Value::as_str);
        std::iter::once(image_id).chain(snapshots).map(str::to_owned).collect()
    }

    /// The key of a backup's description.
    pub fn set_description_key(&self, backup: &Value) -> String {
        let id = rekindle_domain::BackupId::parse(backup["backup_id"].as_str().unwrap()).unwrap();
        self.customer.machine.set_description_key(&id).to_string()
    }
}

/// As the customer does it: the private half is never in the account. It is there for all tests once it is.
pub fn import_public_key(name: &str) {
    let tags = "ResourceType=key-pair,Tags=[{Key=rekindle:machine,Value=acme/all}]";
    // In a file: versions of the `aws` command differ in how they read such bytes from the command line.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), metadata::PUBLIC_KEY).unwrap();
    let imported = try_aws(&[
        "ec2",
        "import-key-pair",
        "--key-name",
        name,
        "--public-key-material",
        &format!("fileb://{}", file.path().display()),
        "--tag-specifications",
        tags,
    ]);
    if let Err(error) = imported {
        assert!(error.contains("InvalidKeyPair.Duplicate"), "{error}");
    }
}

/// Puts all signs of life in an item of the register an hour back; an item that is not there has none.
fn let_be_long_ago(table: &str, item: &Value) {
    let past = (Timestamp::now() - SignedDuration::from_hours(1)).to_string();
    let mut item = item.clone();
    for sign in ["posted_at", "taken_at", "last_heartbeat_at", "at"] {
        if let Some(time) = item.pointer_mut(&format!("/{sign}/S")) {
            *time = past.clone().into();
        }
    }
    if item.is_object() {
        aws(&["dynamodb", "put-item", "--table-name", table, "--item", &item.to_string()]);
    }
}
