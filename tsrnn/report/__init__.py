"""Figures and pages for people, made from plain frames."""
