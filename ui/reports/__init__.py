"""Reports for people: figures of a run and the HTML tearsheet. Pure: values in, numbers and text out."""
