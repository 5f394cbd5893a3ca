//! A mail server for tests.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    sync::mpsc,
    task::JoinSet,
};

/// A server that takes mail, and passes the text of each on.
///
/// # Panics
/// When it cannot listen.
pub async fn post_office() -> (SocketAddr, mpsc::Receiver<String>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("the post office works");
    let address = listener.local_addr().expect("the post office works");
    let (sender, mails) = mpsc::channel(16);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (read, mut write) = stream.into_split();
            let mut lines = BufReader::new(read).lines();
            write.write_all(b"220 post.example.org\r\n").await.expect("the post office works");
            let (mut mail, mut in_data) = (String::new(), false);
            while let Ok(Some(line)) = lines.next_line().await {
                if in_data && line != "." {
                    mail.push_str(&line);
                    mail.push('\n');
                    continue;
                }
                let answer: &[u8] = match line.to_uppercase() {
                    end if in_data && end == "." => {
                        in_data = false;
                        sender.send(std::mem::take(&mut mail)).await.expect("the post office works");
                        b"250 taken\r\n"
                    }
                    data if data == "DATA" => {
                        in_data = true;
                        b"354 go on\r\n"
                    }
                    quit if quit == "QUIT" => {
                        let _ = write.write_all(b"221 bye\r\n").await;
                        break;
                    }
                    _ => b"250 post.example.org\r\n",
                };
                if write.write_all(answer).await.is_err() {
                    break;
                }
            }
        }
    });
    (address, mails, tasks)
}
