//! Kafka: one broker that is its own controller (KRaft), partitions in files.

mod jars;
mod wire;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::child::Child;
use super::super::guard::guarded;
use super::super::load::{self, Outcome, Puts};
use wire::{Batches, Topic};

/// As many as our stream has shards.
const PARTITIONS: i32 = 4;

/// How long a broker has until it makes topics.
const READY_TIME: Duration = Duration::from_secs(60);

/// Until the virtual machine has compiled what is used often.
const WARM_UP_SECONDS: f64 = 4.0;

/// As the scripts that come with the broker set them.
const JAVA_OPTIONS: [&str; 5] =
    ["-server", "-Xms1G", "-Xmx1G", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"];

/// Java, and what it runs.
#[derive(Clone, Debug)]
pub(super) struct Kafka {
    java: PathBuf,
    class_path: OsString,
}

/// A broker, without a topic.
#[derive(Debug)]
pub(super) struct Broker {
    child: Child,
}

impl Kafka {
    pub(super) fn find(cache: &Path) -> Result<Kafka> {
        let java = super::program("java")
            .filter(|java| is_new_enough(java))
            .context("Kafka needs Java 17 or later; Debian: apt install openjdk-17-jre-headless")?;
        Ok(Kafka { java, class_path: jars::fetched(&cache.join("kafka"))? })
    }

    /// Starts a broker as it comes, but for one machine.
    pub(super) fn start(&self, dir: &Path) -> Result<Broker> {
        let data = dir.join("kafka");
        let address = super::free_address()?;
        let controller = super::free_address()?;
        let settings = format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.voters=1@{controller}\n\
             controller.listener.names=CONTROLLER\n\
             listeners=PLAINTEXT://{address},CONTROLLER://{controller}\n\
             log.dirs={}\n\
             offsets.topic.replication.factor=1\n\
             transaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\n",
            data.display()
        );
        let file = dir.join("kafka.properties");
        std::fs::write(&file, settings)?;
        let mut format = guarded(&self.java)?;
        format.arg("-cp").arg(&self.class_path).arg("kafka.tools.StorageTool");
        format.args(["format", "--cluster-id", "AAAAAAAAAAAAAAAAAAAAAQ", "--config"]).arg(&file);
        let formatted = format.output()?;
        let said = String::from_utf8_lossy(&formatted.stderr);
        ensure!(formatted.status.success(), "kafka cannot format its directory: {said}");
        let mut arguments: Vec<OsString> = JAVA_OPTIONS.iter().map(OsString::from).collect();
        arguments.extend(["-cp".into(), self.class_path.clone(), "kafka.Kafka".into()]);
        arguments.push(file.into());
        Ok(Broker { child: Child::peer(&self.java, arguments, address, &data)? })
    }
}

impl Broker {
    /// Puts into a topic nobody measures, for as long as that takes.
    pub(super) async fn warm_up(&self, puts: Puts) -> Result<()> {
        self.put("warm-up", None, Puts { seconds: WARM_UP_SECONDS, ..puts }).await?;
        Ok(())
    }

    /// Makes a topic, and puts into its partitions in turn, `acks=all`.
    pub(super) async fn put(
        &self,
        topic: &str,
        flush_messages: Option<u32>,
        puts: Puts,
    ) -> Result<Outcome> {
        let topic = Topic { name: topic, partitions: PARTITIONS, flush_messages };
        let mut connection = self.make(&topic).await?;
        let batches = Batches::new(&topic, puts.batch);
        // The first answers of a new topic take long: its logs are made.
        for _ in 0..PARTITIONS {
            connection.write_all(&batches.first()).await?;
            let answer = read_message(&mut connection).await?;
            wire::check_produced(&answer)?;
        }
        load::pipeline(&self.child, connection, batches, puts).await
    }

    /// A connection behind which the topic is. A broker that has just been started may say that
    /// its controller is not there yet.
    async fn make(&self, topic: &Topic<'_>) -> Result<TcpStream> {
        let begun = Instant::now();
        loop {
            let mut connection = TcpStream::connect(self.child.address()).await?;
            connection.write_all(&topic.creation()).await?;
            let made = match read_message(&mut connection).await {
                Ok(answer) => wire::check_created(&answer),
                Err(error) => Err(error),
            };
            match made {
                Ok(()) => return Ok(connection),
                Err(error) if begun.elapsed() > READY_TIME => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

fn is_new_enough(java: &Path) -> bool {
    // To standard error: openjdk version "17.0.15" 2025-04-15
    let version = Command::new(java).arg("-version").output().ok().and_then(|output| {
        let text = String::from_utf8(output.stderr).ok()?;
        text.split('"').nth(1)?.split('.').next()?.parse::<u32>().ok()
    });
    version.is_some_and(|version| version >= 17)
}

async fn read_message(connection: &mut TcpStream) -> Result<Vec<u8>> {
    let mut message = vec![0; connection.read_u32().await? as usize];
    connection.read_exact(&mut message).await?;
    Ok(message)
}
