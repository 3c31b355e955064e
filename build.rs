//! io: tells cargo that the page is part of the program

fn main() {
    // The page's files are embedded: without this a new one would not be noticed.
    println!("cargo:rerun-if-changed=web");
}
