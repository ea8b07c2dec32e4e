"""The inner OAuth server's pages in a real Chromium, over https and under the names they have in life."""
