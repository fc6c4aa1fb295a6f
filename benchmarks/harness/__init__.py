"""Runs defences on subjects, keeps each run, and makes tables of them."""
