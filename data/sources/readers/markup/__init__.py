"""Readers of web pages, e-books and other XML, and the conversion of element trees to text."""
