"""Synthetic surveys whose truth is known, written as SEG-Y like any other survey."""
