"""Migrations, views and the runner that applies them."""
