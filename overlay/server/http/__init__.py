"""What HTTP asks for below the routes: tokens, forms, queries, the log of requests, the connection."""
