"""Misbehaviour on command: what is wrong with the Gateway at the moment, asked by all who do the work."""
