"""The checks behind `tokentide doctor`. Each looks, changes nothing, and says how to mend what it finds."""
