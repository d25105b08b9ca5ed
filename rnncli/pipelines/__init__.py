"""One verb, one function: config -> result. The library's public face; `cli` adds nothing but the terminal."""
