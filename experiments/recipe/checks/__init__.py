"""Static checks of a recipe (`prismlab check`) on abstract shapes, without a device or data."""
