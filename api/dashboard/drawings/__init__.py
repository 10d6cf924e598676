"""Drawings: SVG made on the server, in classes and presentation attributes only, since a page allows no inline style.

One module a kind. A drawing has a title and a description for who cannot see it; the page shows the same facts as a
table or in words besides. What strangers wrote is escaped by markupsafe. Deliberately not here: colours (``app.css``).
"""
