"""Requirements of the checklist as questions over HTTP, asked unchanged of our server and of another."""
